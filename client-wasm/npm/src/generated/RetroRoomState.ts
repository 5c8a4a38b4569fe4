// Written by scripts/types.mjs from src/board.
import type { ActionItem } from './ActionItem.js'
import type { Group } from './Group.js'
import type { Item } from './Item.js'
import type { Meta } from './Meta.js'
import type { Participant } from './Participant.js'
import type { Point } from './Point.js'

/** A board, as the API and the browser show it. */
export type RetroRoomState = {
  /** What the facilitator has set. */
  meta: Meta
  /** The cards, by id. */
  items: { [id: string]: Item | undefined }
  /** Where they lie; only cards that are there. */
  itemPositions: { [id: string]: Point | undefined }
  /** In which group a card is; only cards and groups that are there. */
  itemGroups: { [id: string]: string | undefined }
  /** The groups, by id. */
  groups: { [id: string]: Group | undefined }
  /** The color of each signature's cards. */
  signatureColors: { [id: string]: string | undefined }
  /** What is to be done, in order. */
  actionItems: ActionItem[]
  /** The votes that count, by person and target: see `votes`. */
  allUserVotes: { [id: string]: { [id: string]: number | undefined } | undefined }
  /** Everyone who is here or has written in this life of the room. Not in the document: the caller fills it in. */
  participants: Participant[]
  /** When the board was changed last, in milliseconds since 1970. From the log: the caller fills it in. */
  lastUpdated: number | null
}
