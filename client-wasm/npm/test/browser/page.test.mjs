// What a browser does to a client: large boards, wrong clocks, hidden tabs, the network.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pages, saved, shows, until, write } from '../lib/page.mjs'

/** No join may take longer than this on a busy machine; what was measured is printed. In ms. */
const JOIN_MS_MAX = 5_000

test('[C35] a browser that was never here joins a board of 1,000 cards; measured', async (t) => {
  const { browser, open, tab, options } = await pages(t)
  const ana = await open(await browser.person('ana'), { storage: 'memory' })
  await ana.evaluate(() => {
    client.edit.seed('retro')
    for (let n = 0; n < 1000; n++) {
      const id = client.edit.addItem({ text: `card ${n} `.padEnd(80, 'so it goes '), column: 'well', position: { x: n, y: n } })
      if (n % 3 === 0) client.edit.setItemText(id, `card ${n}, edited`)
    }
  })
  await saved(ana)
  const times = []
  for (let n = 0; n < 5; n++) {
    const person = await browser.person(`newcomer ${n}`)
    const page = await tab(person)
    times.push(await page.evaluate(async (options) => {
      const from = performance.now()
      window.client = new ruang.RuangClient({ ...options, load: 'once' })
      await client.ready
      const ready = performance.now()
      await new Promise((resolve) => client.on('synced', resolve))
      if (client.get('itemIds').length !== 1000) throw new Error(`${client.get('itemIds').length} cards`)
      const synced = performance.now()
      return { ready: Math.round(ready - from), synced: Math.round(synced - from) }
    }, options()))
    await person.context.close()
  }
  console.log('join of 1,000 cards, ms from nothing loaded:', times)
  const sorted = times.map(({ synced }) => synced).sort((a, b) => a - b)
  console.log(`median ${sorted[2]} ms`)
  assert.ok(sorted[2] < JOIN_MS_MAX)
})

test('[C32] a browser whose clock is three days ahead: the timer ends at the same moment for all, cards keep their order', async (t) => {
  const { browser, server, open, tab, options } = await pages(t)
  const late = await browser.person('ana')
  const ana = await tab(late)
  const threeDays = 3 * 24 * 3600 * 1000
  await ana.evaluate((ahead) => {
    const now = Date.now
    Date.now = () => now() + ahead
  }, threeDays)
  await ana.evaluate((options) => window.begin(options), options({ user: 'ana' }))
  const ben = await open(await browser.person('ben'), { user: 'ben' })
  await saved(ana, ben)
  await ana.evaluate(() => client.edit.seed('retro'))
  await until(ana, () => client.clock.isKnown)
  const offset = await ana.evaluate(() => [client.clock.offsetMs, client.clock.uncertaintyMs])
  console.log(`three days ahead: offset ${Math.round(offset[0])} ± ${Math.round(offset[1])} ms`)
  assert.ok(Math.abs(offset[0] + threeDays) < 5_000)
  await ana.evaluate(() => client.edit.setMeta({ timerEndsAt: Math.round(client.clock.now()) + 300_000 }))
  await saved(ana)
  await until(ben, () => client.state.meta.timerEndsAt !== null)
  const left = await ben.evaluate(() => client.state.meta.timerEndsAt - client.clock.now())
  assert.ok(left > 280_000 && left < 305_000, `${left} ms left`)
  await write(ana, 'from the future')
  await write(ben, 'from now')
  await saved(ana, ben)
  await until(ben, () => client.clock.isKnown)
  await shows(ben, ['from the future', 'from now'])
  assert.ok(await ben.evaluate(() => Math.abs(client.state.lastUpdated - client.clock.now()) < 60_000))
  assert.ok(server.running)
})

test('[C24] the network goes and comes back: the page is told, and is back at once', async (t) => {
  const { browser, open } = await pages(t)
  const ana = await browser.person('ana')
  const page = await open(ana)
  await saved(page)
  await ana.offline()
  await until(page, () => client.status === 'offline')
  await write(page, 'in the tunnel')
  assert.equal(await page.evaluate(() => client.unsaved), 1)
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 3_000)))
  await ana.online()
  await saved(page)
})

test('[C40] two tabs of one person vote without a server: both show the same, within the limit', async (t) => {
  const { browser, server, open } = await pages(t)
  const ana = await browser.person('ana')
  const [one, two] = [await open(ana, { user: 'ana' }), await open(ana, { user: 'ana' })]
  await one.evaluate(() => { client.edit.setMeta({ voteLimit: 3 }); for (const id of ['a', 'b', 'c']) client.edit.addItem({ text: id, id }) })
  await saved(one, two)
  await until(two, () => client.get('itemIds').length === 3)
  await server.kill()
  await Promise.all([
    one.evaluate(() => { client.edit.vote('a', 2); client.edit.vote('c', 1) }),
    two.evaluate(() => { client.edit.vote('b', 3) })
  ])
  const votes = (page) => page.evaluate(() => JSON.stringify(client.state.allUserVotes))
  await until(one, (other) => JSON.stringify(client.state.allUserVotes) === other, await votes(two))
    .catch(async () => assert.equal(await votes(one), await votes(two)))
  await server.startAgain()
  await saved(one, two)
  assert.equal(await votes(one), await votes(two))
  const total = await one.evaluate(() => Object.values(client.state.allUserVotes.ana).reduce((a, b) => a + b))
  console.log(await votes(one))
  assert.equal(total, 3)
})

test('[C42] under a content security policy that lets wasm start, and nothing else beyond the page\'s own scripts', async (t) => {
  const policy = "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; connect-src 'self' http://127.0.0.1:* ws://127.0.0.1:*; img-src data:"
  const { browser, open } = await pages(t, { headers: { 'Content-Security-Policy': policy } })
  const page = await open(await browser.person('ana'))
  await write(page, 'x')
  await saved(page)
})

test('[C42] the core is fetched after the page has shown itself, though the client is made first', async (t) => {
  const page = `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>x</title>
    <p>shown at once<script type=module>
    import { RuangClient } from '/client/ruang-client.browser.js'
    window.client = new RuangClient({ url: 'http://127.0.0.1:9', room: 'x', connect: false })
    await client.ready
    document.title = 'ready'</script>`
  const { browser, tab } = await pages(t, { page })
  const opened = await tab(await browser.person('ana'))
  const [paint, fetched] = await opened.evaluate(() => [
    performance.getEntriesByName('first-contentful-paint')[0].startTime,
    performance.getEntriesByType('resource').find(({ name }) => name.endsWith('.wasm')).startTime
  ])
  console.log(`first paint at ${Math.round(paint)} ms, the wasm asked for at ${Math.round(fetched)} ms`)
  assert.ok(fetched >= paint)
})
