// The board of docs/examples: two people, each with a browser of their own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser, LOST_SERVER, jumps, screenshot } from './lib/browser.mjs'
import { example } from './lib/examples.mjs'
import { SECRET, Server, eventually, sign } from './lib/server.mjs'

const connected = (page) => page.locator('#status.connected').waitFor()
const card = (page, text) => page.locator('.card').filter({ hasText: text })
const texts = (page) => page.locator('.card p').allTextContents()
const shows = (page, wanted) => eventually(`the page shows ${wanted}`, async () => {
  assert.deepEqual((await texts(page)).sort(), [...wanted].sort())
  return true
})
async function add (page, column, text) {
  await page.getByLabel(`New card in ${column}`).fill(text)
  await page.keyboard.press('Enter')
}
const place = async (page, text) => {
  const [box, board] = [await card(page, text).boundingBox(), await page.locator('#board').boundingBox()]
  return { x: Math.round(box.x - board.x), y: Math.round(box.y - board.y) }
}
/** Presses on a card, moves it, and lets it go unless it is still to be held. */
async function drag (page, text, by, { hold = false } = {}) {
  const box = await card(page, text).boundingBox()
  const from = { x: box.x + 20, y: box.y + 8 }
  await page.mouse.move(from.x, from.y)
  await page.mouse.down()
  await page.mouse.move(from.x + by.x, from.y + by.y, { steps: 4 })
  if (!hold) await page.mouse.up()
}
const votes = (page, text) => card(page, text).locator('.votes').textContent()

test('[B92] a board with two editors: what one does the other sees, and nothing is lost offline, by a reload or a crash', async (t) => {
  const browser = await Browser.start(t)
  const at = await example(t, 'board')
  const server = await Server.start(t, { env: { RUANG_AUTH_KEY: SECRET }, args: ['--boards', 'retro/', '--allow-origin', new URL(at({})).origin] })
  const as = (user) => at({ server: server.ws, room: 'retro/41', user, token: sign({ sub: user, room: 'retro/41', role: 'editor', seconds: 600 }) })
  const [ana, ben] = [await browser.person('board-ana'), await browser.person('board-ben')]
  const [a, b] = await Promise.all([[ana, 'Ana'], [ben, 'בן 🦊']].map(([person, user]) => person.open(as(user))))
  await Promise.all([connected(a), connected(b)])

  // Both begin it, from one template, before they hear of each other.
  const retro = (page) => page.locator('#begin').getByText('retro', { exact: true })
  await Promise.all([retro(a).waitFor(), retro(b).waitFor()])
  await ana.offline()
  await a.locator('#status.disconnected').waitFor()
  await Promise.all([a, b].map((page) => retro(page).dispatchEvent('click')))
  await ana.online()
  await connected(a)
  const since = performance.now()
  for (const page of [a, b]) {
    await eventually('the columns are there once', async () => {
      assert.deepEqual(await page.locator('.column h2').allTextContents(), ['Went well', 'To improve', 'Ideas'])
      return true
    })
    await eventually('both are here', async () => {
      assert.deepEqual((await page.locator('#people span').allTextContents()).sort(), ['Ana', 'בן 🦊'])
      return true
    })
    t.diagnostic(`both are here ${Math.round(performance.now() - since)} ms after the network is back`)
  }

  await add(a, 'Went well', 'We shipped it 🎉👩‍👩‍👧')
  await add(b, 'To improve', 'הבדיקות איטיות מדי')
  await add(b, 'Ideas', 'Pair more')
  const three = ['We shipped it 🎉👩‍👩‍👧', 'הבדיקות איטיות מדי', 'Pair more']
  await Promise.all([shows(a, three), shows(b, three)])

  // A drag is seen while it lasts, and has its place when it is dropped: beside nothing that jumps.
  const still = await place(b, 'הבדיקות')
  const before = await place(b, 'We shipped')
  await drag(a, 'We shipped', { x: 30, y: 200 }, { hold: true })
  await b.locator('.pile.held').waitFor()
  await eventually('the other one sees it on its way', async () => (await place(b, 'We shipped')).y === before.y + 200)
  await screenshot(b, 'board-dragged')
  await a.mouse.up()
  await b.locator('.pile.held').waitFor({ state: 'detached' })
  for (const page of [a, b]) assert.deepEqual(await place(page, 'We shipped'), { x: before.x + 30, y: before.y + 200 })
  assert.deepEqual(await place(b, 'הבדיקות'), still, 'nothing else moves')

  // Votes, within the limit.
  for (let n = 0; n < 5; n++) await card(a, 'Pair more').getByLabel('Vote', { exact: true }).click()
  await eventually('they are counted for both', async () => await votes(b, 'Pair more') === '5' && await votes(a, 'Pair more') === '5')
  assert.equal(await a.locator('#left').textContent(), '0 of 5 votes left')
  assert.ok(await card(a, 'We shipped').getByLabel('Vote', { exact: true }).isDisabled())
  await card(b, 'Pair more').getByLabel('Vote', { exact: true }).click()
  await eventually('of both', async () => await votes(a, 'Pair more') === '6')
  assert.equal(await b.locator('#left').textContent(), '4 of 5 votes left')

  // A group, with a name; an action item.
  const [from, to] = [await place(a, 'הבדיקות'), await place(a, 'Pair more')]
  await drag(a, 'הבדיקות', { x: to.x - from.x + 10, y: to.y - from.y + 10 })
  for (const page of [a, b]) await eventually('two cards lie in a group', async () => await page.locator('.pile.group .card').count() === 2)
  await b.getByLabel('Name of the group').fill('Working together')
  await b.keyboard.press('Enter')
  await b.getByLabel('New action item').fill('קבוצה: measure it')
  await b.keyboard.press('Enter')
  await a.locator('#actions li').waitFor()
  await a.locator('#actions input').check()
  await b.locator('#actions li.done').waitFor()
  await eventually('the name is there', async () => await a.getByLabel('Name of the group').inputValue() === 'Working together')
  await screenshot(a, 'board-together')

  // Undo takes back one's own edits only.
  await add(b, 'Ideas', 'of Ben')
  await shows(a, [...three, 'of Ben'])
  await add(a, 'Ideas', 'of Ana')
  await shows(b, [...three, 'of Ben', 'of Ana'])
  await b.getByRole('button', { name: 'Undo' }).click()
  await Promise.all([a, b].map((page) => shows(page, [...three, 'of Ana'])))
  await b.getByRole('button', { name: 'Redo' }).click()
  await Promise.all([a, b].map((page) => shows(page, [...three, 'of Ben', 'of Ana'])))

  // Offline, both go on.
  await ana.offline()
  await a.locator('#status.disconnected').waitFor()
  await add(a, 'Went well', 'on the train')
  await card(a, 'of Ana').getByLabel('Delete').click()
  await card(b, 'of Ben').locator('p').dblclick()
  await b.keyboard.press('Control+a')
  await b.keyboard.type('of Ben, changed')
  await b.keyboard.press('Enter')
  await ana.online()
  const all = [...three, 'of Ben, changed', 'on the train']
  await Promise.all([shows(a, all), shows(b, all)])

  // A reload and a crash.
  await a.reload()
  await shows(a, all)
  for (const person of [ana, ben]) person.expect(LOST_SERVER)
  await server.kill()
  for (const page of [a, b]) await page.locator('#status:not(.connected)').waitFor()
  await add(b, 'Ideas', 'while it was down')
  await server.startAgain()
  await Promise.all([a, b].map((page) => shows(page, [...all, 'while it was down'])))
  const late = await (await browser.person('board-late')).open(as('Late'))
  await shows(late, [...all, 'while it was down'])
  assert.equal(await votes(late, 'Pair more'), '6')
  const jumped = await jumps(late)
  t.diagnostic(`jumps while it loads: ${jumped.toFixed(3)}`)
  assert.ok(jumped < 0.1, 'nothing jumps while it loads')
  for (const [name, viewport] of [['phone', { width: 390, height: 800 }], ['desktop', { width: 1400, height: 900 }]]) {
    await late.setViewportSize(viewport)
    await screenshot(late, `board-${name}`)
    assert.equal(await late.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, 'the page itself does not scroll sideways')
  }
})

test('[B93] the board with a token: who may write writes, what is not allowed says why', async (t) => {
  const browser = await Browser.start(t)
  const at = await example(t, 'board')
  const origin = new URL(at({})).origin
  const server = await Server.start(t, { env: { RUANG_AUTH_KEY: SECRET }, args: ['--allow-origin', origin] })
  const open = async (name, token) => {
    const person = await browser.person(name)
    return [person, await person.open(at({ server: server.ws, room: 'board', user: name, token }))]
  }
  const [, editor] = await open('ana', sign({ sub: 'ana', role: 'editor', kind: 'board' }))
  await connected(editor)
  await editor.getByRole('button', { name: '4ls' }).click()
  await add(editor, 'Learned', 'with a token')
  const [, viewer] = await open('eve', sign({ sub: 'eve', role: 'viewer', kind: 'board' }))
  await shows(viewer, ['with a token'])
  await add(viewer, 'Liked', 'of a viewer')
  await add(editor, 'Liked', 'after it')
  await shows(viewer, ['with a token', 'of a viewer', 'after it'])
  await viewer.locator('#refused').filter({ hasText: /./ }).waitFor()
  t.diagnostic(`a viewer reads: ${await viewer.locator('#refused').textContent()}`)
  await shows(editor, ['with a token', 'after it'])
  await viewer.reload()
  await shows(viewer, ['with a token', 'after it'])

  // Another one's card: it comes back, and the reason is on the page.
  const [, other] = await open('ben', sign({ sub: 'ben', role: 'editor', kind: 'board' }))
  await shows(other, ['with a token', 'after it'])
  await card(other, 'with a token').getByLabel('Delete').click()
  await other.locator('#refused').filter({ hasText: /./ }).waitFor()
  t.diagnostic(`an editor reads: ${await other.locator('#refused').textContent()}`)
  await shows(other, ['with a token', 'after it'])
  await shows(editor, ['with a token', 'after it'])
  await screenshot(other, 'board-refused')

  const [, stranger] = await open('bad', sign({ room: 'another' }))
  await stranger.locator('#status').filter({ hasText: 'closed: ' }).waitFor()
  t.diagnostic(await stranger.locator('#status').textContent())
  assert.equal((await texts(stranger)).length, 0)
})
