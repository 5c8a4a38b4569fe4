// How long to wait before the next try: longer each time, and never the same for all.

/** The wait before the first retry, in ms. */
export const BACKOFF_BASE_MS = 250
/** No wait is longer, in ms: a room is back within this after its server is. */
export const BACKOFF_MAX_MS = 20_000
/** After the server said "too fast": no wait is shorter, in ms. */
export const BACKOFF_TOO_FAST_MS = 5_000

/** Exponential backoff with jitter: each wait is a random part of its bound, at least half. */
export class Backoff {
  #tries = 0
  readonly #random: () => number

  constructor (random: () => number = Math.random) {
    this.#random = random
  }

  /** How many waits there were since the last success. */
  get tries (): number { return this.#tries }

  /** The next wait in ms, at least `atLeast`. */
  next (atLeast = 0): number {
    const bound = Math.max(atLeast * 2, Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** Math.min(this.#tries, 16)))
    this.#tries += 1
    return bound * (0.5 + this.#random() / 2)
  }

  /** It worked: the next wait is the first again. */
  reset (): void { this.#tries = 0 }
}
