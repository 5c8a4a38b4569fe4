// What wasm-bindgen makes of client-wasm/src/browser.rs, with the JSON values typed: CORE.md says how it is used.
// The bundle is npm/wasm/ruang_client.js and ruang_client_bg.wasm.
import type { Change } from "./generated/Change";
import type { Edit } from "./generated/Edit";
import type { RetroRoomState } from "./generated/RetroRoomState";

/** Fetches and starts the wasm; once for a page. Without an argument it is found beside the script. */
export default function init(options?: { module_or_path: unknown } | undefined): Promise<unknown>;
/** The same from bytes that are there already (Node, tests). */
export function initSync(options: { module: BufferSource | WebAssembly.Module }): unknown;

export type Role = "viewer" | "editor" | "facilitator" | "admin";

export interface Who {
  /** Under which name edits are made: the token's `sub`, or a name that the app has made up. */
  user: string;
  /** Whether a token says so. Without identity the rules about *whose* something is are off, as at the server. */
  identified: boolean;
  role: Role;
}

export interface ClientOptions extends Who {
  room: string;
  /** Random, from 1 to 2^32 - 1, new for each Client: two that write under one id lose edits. Its presence id too. */
  clientId: number;
}

/** What a call comes to. Every call that changes something returns one. */
export interface Output {
  /** Binary messages for the socket, in order, one WebSocket message each. None while there is no connection. */
  frames: Uint8Array[];
  /** Updates V1 for the local store, in order: all that is new in the document, one's own and others'. */
  updates: Uint8Array[];
  /** What of the board is another now, with its new values. Missing if nothing is. */
  change?: Change;
  /** Presence that is another now: id to state, `null`: gone. One's own included. Missing if none is. */
  presence?: Record<string, unknown>;
  /** What has to be told, in order. */
  said: Said[];
  /** The server's bytes make no sense: close the socket and come back later. Nothing of them was taken. */
  close?: string;
  /** Edits that the server has not decided on yet: made offline, under way, or not acknowledged. */
  unsaved: number;
  canUndo: boolean;
  canRedo: boolean;
}

export type Said =
  /** The first answer of this connection has been taken in: the board is what the server has. */
  | { type: "synced" }
  /** Something was acknowledged; `position` is the newest stored one, opaque. `unsaved` beside it is the new count. */
  | { type: "saved"; position: string }
  /** So many edits were decided against. `code` is for programs ("" from an older server), `reason` for people. */
  | { type: "refused"; code: string; reason: string; edits: number }
  /** The room may go in so many milliseconds: offer to keep a copy. */
  | { type: "expiry"; inMs: number }
  /** Somebody else writes under this client's id: go on with a new Client that loads `encode()`. */
  | { type: "clientIdTaken" }
  /** What `merge` or `load` was given builds on something that is not here; the rest was taken. */
  | { type: "gap" }
  /** The engine has failed: make a new Client from the local store. */
  | { type: "broken" };

export interface Status {
  connected: boolean;
  synced: boolean;
  unsaved: number;
  /** Edits decided against, since the Client was made. */
  refused: number;
  /** Of the last acknowledgement. */
  position: string | null;
  /** The lives of the room that this copy is of, oldest id first; empty before the first stored edit has come. */
  generation: string[];
  clientId: number;
  /** Client ids in the document, and bytes of all of it as an update. Costs an encoding: for the debug panel. */
  clients: number;
  bytes: number;
}

/** Thrown by the calls below; `name` is "RuangCoreError". Nothing was changed. */
export interface CoreError extends Error {
  code: CoreErrorCode;
}
export type CoreErrorCode =
  /** The argument is not of its form: options, an edit, a presence state. */
  | "bad_argument"
  /** The edit cannot be made: see EditError. */
  | "not_there" | "exists" | "bad_id" | "bad_line" | "bad_text" | "bad_color" | "bad_number" | "bad_votes" | "bad_columns"
  /** The rules of the board do not let this person make it. */
  | "not_allowed"
  /** Bytes that are no update. */
  | "bad_update"
  /** The copy is of no use any more (a fault of the engine): make a new Client from the local store. */
  | "broken";

export class Client {
  constructor(options: ClientOptions);
  free(): void;

  /** Takes in a copy from the local store, before `open`. `unsaved`: how many edits in it were not acknowledged. */
  load(update: Uint8Array, unsaved: number): Output;
  /** Takes in an update of another tab (`send` false: that tab sends it), or of the app's own Y.Doc (`send` true). */
  merge(update: Uint8Array, send: boolean): Output;
  /** The whole document as an update V1. */
  encode(): Uint8Array;
  /** What somebody with this encoded state vector lacks, as an update V1. */
  encodeSince(stateVector: Uint8Array): Uint8Array;
  /** The encoded state vector. */
  stateVector(): Uint8Array;

  /** A socket of `ruang.v1` has opened. */
  open(): Output;
  /** A binary message has come. Never throws, whatever the bytes. */
  receive(frame: Uint8Array): Output;
  /** The socket is gone. */
  closed(): Output;

  /** Makes an edit, one transaction and one step of undo. `nowMs` is Date.now(). */
  edit(edit: Edit, nowMs: number): Output;
  /** Begins an empty board with a template: its bytes, which are the same from everyone. */
  seed(template: string): Output;
  /** Takes the last of this client's own edits back; nothing if there is none. */
  undo(): Output;
  redo(): Output;

  /** Shows this state to the others (`null`: nothing any more). Kept over reconnects. */
  setPresence(state: unknown): Output;
  /** Says it again: the server forgets what was not renewed for 45 s. Call it every 15 s while connected. */
  renewPresence(): Output;
  /** Everyone's states by presence id, one's own included. */
  presence(): Record<string, unknown>;

  /** Another token: another role, say. The user stays. */
  setWho(who: Who): void;
  /** The board as a whole. `participants` is empty and `lastUpdated` null: they are not in the document. */
  state(): RetroRoomState;
  status(): Status;
}
