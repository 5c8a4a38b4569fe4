// How long is waited, and what of the server's clock is known.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Backoff, BACKOFF_BASE_MS, BACKOFF_MAX_MS, BACKOFF_TOO_FAST_MS } from '../../dist/backoff.js'
import { ServerClock } from '../../dist/clock.js'

test('[C24] waits grow, never pass their bound, are never the same for all, and begin anew after a success', () => {
  const most = new Backoff(() => 1)
  const least = new Backoff(() => 0)
  const waits = Array.from({ length: 40 }, () => [least.next(), most.next()])
  assert.deepEqual(waits[0], [BACKOFF_BASE_MS / 2, BACKOFF_BASE_MS])
  assert.deepEqual(waits[1], [BACKOFF_BASE_MS, BACKOFF_BASE_MS * 2])
  assert.ok(waits.every(([low, high]) => low * 2 === high && high <= BACKOFF_MAX_MS))
  assert.deepEqual(waits.at(-1), [BACKOFF_MAX_MS / 2, BACKOFF_MAX_MS])
  most.reset()
  assert.equal(most.next(), BACKOFF_BASE_MS)
  assert.equal(least.next(BACKOFF_TOO_FAST_MS * 10) >= BACKOFF_TOO_FAST_MS * 10, true)
})

test('[C32] the offset of the server\'s clock is narrowed by each answer, to within less than a header\'s second', () => {
  const clock = new ServerClock(() => 0)
  assert.equal(clock.offsetMs, 0)
  assert.equal(clock.uncertaintyMs, Infinity)
  const offset = 3 * 24 * 3600 * 1000 + 123
  for (let at = 0; at < 5000; at += 730) {
    // The server writes whole seconds; the way takes 20 ms each way.
    const date = Math.floor((at + 20 + offset) / 1000) * 1000
    clock.take(date, at, at + 40)
    assert.ok(Math.abs(clock.offsetMs - offset) <= clock.uncertaintyMs, `at ${at}: ${clock.offsetMs}`)
  }
  console.log(`offset ${offset}, found ${clock.offsetMs} ± ${clock.uncertaintyMs}`)
  assert.ok(clock.uncertaintyMs < 500)
})

test('[C32] a clock that is set anew is followed, and what makes no sense is passed over', () => {
  const clock = new ServerClock(() => 0)
  clock.take(1_000_000, 0, 10)
  clock.take(NaN, 0, 10)
  clock.take(5_000_000, 20, 10) // came before it was asked for
  assert.ok(Math.abs(clock.offsetMs - 1_000_500) < 600)
  clock.take(9_000_000, 0, 10)
  assert.ok(Math.abs(clock.offsetMs - 9_000_500) < 600)
})
