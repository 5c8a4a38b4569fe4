// The examples of editors in docs/examples, on free rooms: two people, each with a browser of their own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser, LOST_SERVER, jumps, screenshot } from './lib/browser.mjs'
import { example } from './lib/examples.mjs'
import { Server, eventually, sleep } from './lib/server.mjs'

const EDITORS = [
  { name: 'tiptap', box: '.tiptap', line: '.tiptap p', caret: '.collaboration-carets__caret', label: '.collaboration-carets__label' },
  { name: 'codemirror', box: '.cm-content', line: '.cm-line', caret: '.cm-ySelectionCaret', label: '.cm-ySelectionInfo' }
]

for (const { name, box, line, caret, label } of EDITORS) {
  /** What stands in a page's editor, without the carets of others. */
  const text = (page) => page.evaluate(({ box, caret }) => {
    const copy = document.querySelector(box).cloneNode(true)
    copy.querySelectorAll(`${caret}, .ProseMirror-separator`).forEach((each) => each.remove())
    return Array.from(copy.children, (each) => each.textContent.replace(/[\u2060\u200b]/g, ''))
  }, { box, caret })
  const shows = (page, wanted) => eventually(`the page shows ${JSON.stringify(wanted)}`, async () => {
    assert.deepEqual(await text(page), wanted)
    return true
  })
  const type = async (page, at, words) => {
    await page.locator(box).click()
    await page.keyboard.press(at)
    await page.keyboard.type(words)
  }
  const is = (page, status) => page.locator('#status').filter({ hasText: status }).waitFor()

  test(`[B91] ${name}: two people write one text, see each other, and lose nothing offline, by a reload or a crash`, async (t) => {
    const browser = await Browser.start(t)
    const server = await Server.start(t)
    const at = await example(t, name)
    const [ana, ben] = [await browser.person(`${name}-ana`), await browser.person(`${name}-ben`)]
    const [a, b] = [await ana.open(at({ server: server.ws, room: name, user: 'Ana' })), await ben.open(at({ server: server.ws, room: name, user: 'בן 🦊' }))]
    await Promise.all([is(a, 'connected'), is(b, 'connected')])

    await type(a, 'Control+End', 'Minutes of the day')
    await shows(b, ['Minutes of the day'])
    await type(b, 'Control+End', '\nשלום 👩‍👩‍👧, mixed')
    await shows(a, ['Minutes of the day', 'שלום 👩‍👩‍👧, mixed'])
    const directions = await a.locator(line).evaluateAll((lines) => lines.map((each) => getComputedStyle(each).direction))
    assert.deepEqual(directions, ['ltr', 'rtl'], 'each line as its own text asks for')

    await eventually('each sees the other\'s caret and name', async () =>
      (await a.locator(label).allTextContents()).join().includes('בן 🦊') && (await b.locator(label).allTextContents()).join().includes('Ana'))
    for (const page of [a, b]) assert.equal(await page.locator('#people').textContent(), 'Ana, בן 🦊')
    await screenshot(a, `${name}-together`)

    await ana.offline()
    await is(a, 'disconnected')
    await sleep(600) // what is typed within half a second is taken back as one edit
    await type(a, 'Control+Home', 'On the train. ')
    await type(b, 'Control+End', '\nin the office')
    const merged = ['On the train. Minutes of the day', 'שלום 👩‍👩‍👧, mixed', 'in the office']
    await ana.online()
    await Promise.all([shows(a, merged), shows(b, merged)])
    await eventually('they see each other again', async () => await a.locator('#people').textContent() === 'Ana, בן 🦊')

    await type(b, 'Control+End', '!')
    await shows(a, [...merged.slice(0, 2), 'in the office!'])
    await a.locator(box).click()
    await a.keyboard.press('Control+z')
    await Promise.all([a, b].map((page) => shows(page, ['Minutes of the day', ...merged.slice(1, 2), 'in the office!'])))
    const all = await text(b)

    await a.reload()
    await shows(a, all)
    for (const person of [ana, ben]) person.expect(LOST_SERVER)
    await server.kill()
    await Promise.all([is(a, 'connecting'), is(b, 'connecting')])
    await type(b, 'Control+End', ' Written while it was down.')
    await server.startAgain()
    all[2] += ' Written while it was down.'
    await Promise.all([shows(a, all), shows(b, all)])
    const late = await (await browser.person(`${name}-late`)).open(at({ server: server.ws, room: name, user: 'Late' }))
    await shows(late, all)
    const jumped = await jumps(late)
    t.diagnostic(`jumps while it loads: ${jumped.toFixed(3)}`)
    assert.ok(jumped < 0.1, 'nothing jumps while it loads')
  })
}
