// The other tabs of this browser that have the same room open: edits go from tab to tab, also without a server.

/** What tabs tell each other. */
export type TabMessage =
  /** An edit was made here. `sent`: this tab has told the server; `stored`: it stands in the local copy. */
  | { type: 'update', life: string, generation: string[], update: Uint8Array, sent: boolean, stored: boolean }
  /** A tab was opened, and has this much. */
  | { type: 'hello', life: string, generation: string[], has: Uint8Array }
  /** The conflict was settled: the copy was thrown away, or went to a room of another name. */
  | { type: 'settled', life: string, movedTo?: string }

/** Tells other tabs, and hears them. Without `BroadcastChannel` (or outside of a browser) there are none. */
export class Tabs {
  readonly #channel: BroadcastChannel | undefined

  constructor (name: string, hear: (message: TabMessage) => void) {
    // Of Node it would keep the process alive.
    if (typeof BroadcastChannel === 'undefined' || typeof document === 'undefined') return
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (isMessage(data)) hear(data)
    }
  }

  tell (message: TabMessage): void {
    this.#channel?.postMessage(message)
  }

  close (): void { this.#channel?.close() }
}

/** Whether copies of these two sets of lives may be put together: one of them is of all that the other is of. */
export function areOneLife (one: readonly string[], other: readonly string[]): boolean {
  return one.every((life) => other.includes(life)) || other.every((life) => one.includes(life))
}

/** Another version of this library may run in another tab. */
function isMessage (data: unknown): data is TabMessage {
  if (typeof data !== 'object' || data === null) return false
  const { type, life, generation, update, has } = data as Record<string, unknown>
  if (typeof life !== 'string') return false
  if (type === 'settled') return true
  return Array.isArray(generation) &&
    ((type === 'update' && update instanceof Uint8Array) || (type === 'hello' && has instanceof Uint8Array))
}
