// Everyone who is here or was: from presence, from what stands in the document, and from what the server knows of its log.

import type { Change } from './generated/Change.js'
import type { Participant } from './generated/Participant.js'
import type { Present } from './presence.js'

/** More people than this are not listed; those who are here come first. */
const PARTICIPANTS_MAX = 2_000
/** Whoever is here was seen this long ago at most, in ms. */
const SEEN_EVERY_MS = 10_000

export class Participants {
  readonly #known = new Map<string, Participant>()

  /** All of them, by name of user. */
  get all (): Participant[] {
    const all = [...this.#known.values()].sort((a, b) => Number(b.online) - Number(a.online) || (a.user < b.user ? -1 : 1))
    return all.slice(0, PARTICIPANTS_MAX).sort((a, b) => a.user < b.user ? -1 : 1)
  }

  forget (): void { this.#known.clear() }

  /** What the server's log says. */
  take (participants: readonly Participant[]): void {
    for (const said of participants) {
      const known = this.#of(said.user)
      const lastSeen = Math.max(known.lastSeen ?? 0, said.lastSeen ?? 0) || null
      this.#known.set(said.user, { ...known, name: known.name ?? said.name, color: known.color ?? said.color, lastSeen })
    }
  }

  /** Who is here now. */
  present (present: readonly Present[], nowMs: number): void {
    const here = new Map(present.filter(({ user }) => user !== '').map((one) => [one.user, one]))
    for (const [user, known] of this.#known) {
      if (known.online && !here.has(user)) this.#known.set(user, { ...known, online: false, lastSeen: nowMs })
    }
    for (const [user, { name, color }] of here) {
      const known = this.#of(user)
      const isSame = known.online && (name ?? known.name) === known.name && (color ?? known.color) === known.color
      // A pointer that moves is nothing new of its person.
      if (isSame && nowMs - (known.lastSeen ?? 0) < SEEN_EVERY_MS) continue
      this.#known.set(user, {
        user, name: name ?? known.name, color: color ?? known.color, online: true, lastSeen: nowMs
      })
    }
  }

  /** Who has written what came. Whether somebody is new. */
  wrote (change: Change): boolean {
    const before = this.#known.size
    for (const item of Object.values(change.items ?? {})) {
      if (typeof item?.author === 'string' && item.author !== '') this.#keep(item.author)
    }
    for (const user of Object.keys(change.allUserVotes ?? {})) this.#keep(user)
    return this.#known.size > before
  }

  #keep (user: string): void {
    if (!this.#known.has(user)) this.#known.set(user, this.#of(user))
  }

  #of (user: string): Participant {
    return this.#known.get(user) ?? { user, name: null, color: null, online: false, lastSeen: null }
  }
}
