// React in a real browser: what is drawn again, and what not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { APP_PAGE, bundled } from '../lib/bundle.mjs'
import { pages, saved, until } from '../lib/page.mjs'

async function app (t) {
  const folder = await bundled(t)
  const made = await pages(t, { page: APP_PAGE, folders: { '/app/': folder } })
  const start = async (person, options = {}, how = {}) => {
    const page = await made.tab(person)
    await page.evaluate(([options, how]) => window.start(options, how), [made.options(options), how])
    await saved(page)
    return page
  }
  return { ...made, start }
}

const COUNT = 400

test('[C22] of 400 cards, moving one draws one again; a drag of another person too; nothing else is drawn', async (t) => {
  const { browser, start } = await app(t)
  const ana = await start(await browser.person('ana'), { user: 'ana' })
  const ids = await ana.evaluate((count) => Array.from({ length: count }, (_, n) => client.edit.addItem({ text: `card ${n}`, position: { x: n, y: n } })), COUNT)
  await saved(ana)
  const ben = await start(await browser.person('ben'), { user: 'ben' })
  await until(ben, (count) => document.querySelectorAll('[data-card]').length === count, COUNT)
  await until(ana, (count) => document.querySelectorAll('[data-card]').length === count && document.querySelector('[data-people="2"]') !== null, COUNT)
  const settled = (page) => page.evaluate(async () => {
    for (let before; before !== JSON.stringify(drawn);) {
      before = JSON.stringify(drawn)
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    for (const name of Object.keys(drawn)) delete drawn[name]
  })
  await settled(ana)
  await settled(ben)

  const [moved, other] = [ids[17], ids[200]]
  await ana.evaluate((id) => { for (let n = 1; n <= 50; n++) client.edit.moveItem(id, { x: 1000 + n, y: n }) }, moved)
  await until(ben, (id) => document.querySelector(`[data-card="${id}"]`).dataset.x === '1050', moved)
  await saved(ana)
  const atBen = await ben.evaluate(() => ({ ...drawn }))
  console.log('ben drew', atBen)
  assert.ok(atBen[`card ${moved}`] >= 1 && atBen[`card ${moved}`] <= 50)
  assert.deepEqual(Object.keys(atBen).filter((name) => name !== `card ${moved}` && name !== 'status'), [])
  const atAna = await ana.evaluate(() => ({ ...drawn }))
  assert.deepEqual(Object.keys(atAna).filter((name) => name !== `card ${moved}`), ['status'])

  await settled(ben)
  await ana.evaluate((id) => client.presence.drag(id, { x: 5, y: 6 }), other)
  await until(ben, (id) => document.querySelector(`[data-card="${id}"]`).textContent.endsWith('(ana)'), other)
  const dragged = await ben.evaluate(() => ({ ...drawn }))
  console.log('a drag drew', dragged)
  assert.deepEqual(Object.keys(dragged).sort(), [`card ${other}`, 'people'].sort())
  await ana.evaluate(() => client.presence.endDrag())

  await settled(ben)
  await ana.evaluate(() => client.edit.setMeta({ title: 'Sprint 41' }))
  await until(ben, () => document.querySelector('h1').textContent === 'Sprint 41')
  assert.deepEqual(Object.keys(await ben.evaluate(() => ({ ...drawn }))).filter((name) => name !== 'status'), ['title'])

  await settled(ben)
  await ana.getByRole('button', { name: 'Add' }).click()
  await until(ben, (count) => document.querySelectorAll('[data-card]').length === count, COUNT + 1)
  const added = await ben.evaluate(() => ({ ...drawn }))
  const redrawn = Object.keys(added).filter((name) => name.startsWith('card '))
  console.log(`a new card drew ${Object.values(added).reduce((a, b) => a + b)} components: the list ${added.board}, cards ${redrawn.length}`)
  assert.equal(redrawn.length, 1)
  assert.equal(added.adder, undefined)
})

test('[C22] useRetroRoom gives board, edits and connection in one, makes its client and closes it, also in strict mode', async (t) => {
  const { browser, tab, options } = await app(t)
  const page = await tab(await browser.person('ana'))
  await page.evaluate((options) => window.startWhole(options), options({ user: 'ana' }))
  await page.locator('[data-whole=synced]').waitFor()
  await page.evaluate(() => { window.whole.seed('retro'); window.whole.addItem({ text: 'x' }); window.whole.setMeta({ title: 'One hook' }) })
  await until(page, () => document.querySelector('section').textContent === '1 cards, One hook')
  await page.evaluate((options) => window.startWhole(options), options({ user: 'ana', room: 'elsewhere' }))
  await page.locator('[data-room=elsewhere][data-whole=synced]').waitFor()
  assert.match(await page.locator('section').textContent(), /^0 cards/)
})

test('[C39] the debug panel shows connection, participants, document, last update, unsaved edits, position and generation', async (t) => {
  const { browser, server, start } = await app(t)
  const page = await start(await browser.person('ana'), { user: 'ana', name: 'Ana' }, { strict: true })
  const row = (name) => page.locator(`[data-ruang-debug-row="${name}"] td`)
  await page.evaluate(() => { client.edit.seed('retro'); client.edit.addItem({ text: 'x' }) })
  await saved(page)
  await until(page, () => /^1 cards, \d+ bytes/.test(document.querySelector('[data-ruang-debug-row=document] td').textContent))
  const rows = {}
  for (const name of ['room', 'connection', 'user', 'participants', 'document', 'last update', 'unsaved edits', 'position', 'generation', 'local copy', 'clock']) {
    rows[name] = await row(name).textContent()
  }
  console.log(rows)
  assert.deepEqual([rows.room, rows.connection, rows['unsaved edits'], rows['local copy']], ['board', 'synced', '0', 'indexeddb'])
  assert.match(rows.user, /^ana · admin$/)
  assert.match(rows.participants, /^1 here of 1, 1 tabs$/)
  assert.ok(Date.parse(rows['last update']) > 0)
  assert.match(rows.position, /\d/)
  assert.match(rows.generation, /\d/)
  await server.kill()
  await until(page, () => /^offline \(1006/.test(document.querySelector('[data-ruang-debug-row=connection] td').textContent))
  await page.evaluate(() => client.edit.addItem({ text: 'y' }))
  await until(page, () => document.querySelector('[data-ruang-debug-row="unsaved edits"] td').textContent === '1')
})
