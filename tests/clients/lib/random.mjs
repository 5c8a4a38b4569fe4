// Random choices that a printed seed repeats.

/** The seed of this run: RUANG_TEST_SEED, or a new one. Tests print it with `t.diagnostic`. */
export const SEED = Number(process.env.RUANG_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** mulberry32 */
export class Random {
  constructor (seed) { this.state = seed >>> 0 }

  /** In [0, 1). */
  next () {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** An integer in [0, below). */
  below (below) { return Math.floor(this.next() * below) }
  chance (of) { return this.next() < of }
  pick (list) { return list[this.below(list.length)] }
  bytes (length) { return Uint8Array.from({ length }, () => this.below(256)) }
}
