// The server's clock, as far as this page can know it. The browser's own clock may be days off.

/** How many answers are kept: the newest decide when the browser's clock is set anew. */
const SAMPLES_MAX = 8
/** The header says whole seconds. */
const HEADER_STEP_MS = 1000

interface Bounds { low: number, high: number }

/**
 * The offset of the server's clock from this one, narrowed by each answer: an answer with `Date: D` that was asked for
 * at `sent` and came at `received` says that the server's clock stood between D and D + 1 s at some moment in between.
 */
export class ServerClock {
  readonly #samples: Bounds[] = []
  readonly #now: () => number

  constructor (now: () => number = Date.now) {
    this.#now = now
  }

  /** Takes what a `Date` header said. All in ms since 1970, `sent` and `received` by this page's clock. */
  take (date: number, sent: number, received: number): void {
    if (!Number.isFinite(date) || received < sent) return
    const sample = { low: date - received, high: date + HEADER_STEP_MS - sent }
    // One of the two clocks was set: what was known of them before does not count.
    if (this.#samples.length > 0 && !meet(this.#bounds(), sample)) this.#samples.length = 0
    this.#samples.push(sample)
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift()
  }

  /** Whether the server has been asked with success. */
  get isKnown (): boolean { return this.#samples.length > 0 }

  /** What to add to `Date.now()`, in ms; 0 as long as nothing is known. */
  get offsetMs (): number {
    if (!this.isKnown) return 0
    const { low, high } = this.#bounds()
    return (low + high) / 2
  }

  /** By how much the offset may be wrong, in ms. */
  get uncertaintyMs (): number {
    if (!this.isKnown) return Infinity
    const { low, high } = this.#bounds()
    return (high - low) / 2
  }

  /** Now, by the server's clock, in ms since 1970. */
  now (): number { return this.#now() + this.offsetMs }

  #bounds (): Bounds {
    return this.#samples.reduce((all, one) => ({ low: Math.max(all.low, one.low), high: Math.min(all.high, one.high) }))
  }
}

function meet (one: Bounds, other: Bounds): boolean {
  return one.low <= other.high && other.low <= one.high
}
