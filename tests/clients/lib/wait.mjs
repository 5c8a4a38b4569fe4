// Waiting for a condition, with an end and with words for what did not happen.

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Returns when `condition` gives something truthy (its value), looking every 20 ms.
 * @param {string} what said when it fails: "eventually: <what>"
 * @param {() => any} condition may be async; what it throws counts as "not yet"
 */
export async function eventually (what, condition, { within = 15_000, detail = () => '' } = {}) {
  const end = Date.now() + within
  let last
  for (;;) {
    try {
      const value = await condition()
      if (value) return value
      last = undefined
    } catch (error) {
      last = error
    }
    if (Date.now() > end) {
      const why = [last && `(${last.message})`, detail()].filter(Boolean).join(' ')
      throw new Error(`not within ${within} ms: ${what} ${why}`.trimEnd())
    }
    await sleep(20)
  }
}

/** Fails if `condition` becomes true within `ms`: for what must not happen. */
export async function never (what, condition, ms) {
  const end = Date.now() + ms
  while (Date.now() < end) {
    if (condition()) throw new Error(`must not happen: ${what}`)
    await sleep(20)
  }
}
