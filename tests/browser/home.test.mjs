// The page at `/`, and what the other tests here rely on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Browser, screenshot } from './lib/browser.mjs'
import { serve } from './lib/pages.mjs'
import { SECRET, Server, eventually } from './lib/server.mjs'

test('[O51] the page at / shows how to connect, at all widths, and its own policy lets it work', async (t) => {
  const browser = await Browser.start(t)
  const server = await Server.start(t)
  for (const [name, viewport] of [['desktop', { width: 1280, height: 800 }], ['phone', { width: 360, height: 740 }]]) {
    for (const colorScheme of ['light', 'dark']) {
      const person = await browser.person(name, { viewport, colorScheme, permissions: ['clipboard-read', 'clipboard-write'] })
      const page = await person.open(server.http)
      await screenshot(page, `home-${name}-${colorScheme}`, { fullPage: true })
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      assert.equal(wide, 0, `no sideways scrolling on a ${name}`)
      await page.getByRole('button', { name: 'Copy' }).click()
      await page.getByText('Copied').waitFor()
      assert.ok((await page.evaluate(() => navigator.clipboard.readText())).includes(`new WebsocketProvider('${server.ws}', 'my-room', doc)`))
      for (const link of await page.locator('a').all()) {
        assert.notEqual((await fetch(await link.evaluate(({ href }) => href))).status, 404, await link.textContent())
      }
    }
  }
})

test('[O51] the page at / says who may enter, and how, and copies where a browser has no clipboard', async (t) => {
  const browser = await Browser.start(t)
  const [open, closed] = [await Server.start(t), await Server.start(t, { env: { RUANG_AUTH_KEY: SECRET } })]
  const person = await browser.person('stranger')
  await person.context.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }))
  const [one, two] = [await person.open(open.http), await person.open(closed.http)]
  await one.getByText('open: no key is set').waitFor()
  await two.getByText('by token: a JWT').waitFor()
  await two.getByRole('button', { name: 'Copy' }).click()
  await two.getByText('Selected: now copy it').waitFor()
  assert.match(await two.evaluate(() => getSelection().toString()), /'my-room', doc, \{ protocols: \['bearer\.' \+ token\] \}\)/)
})

test('[B90] a page that reports an error fails its test, and no page gets at files outside its folder', async (t) => {
  const browser = await Browser.start(t)
  const pages = await serve(t, { '/': new URL('lib/', import.meta.url) }, {
    files: { '/': { type: 'text/html', body: '<script>console.error("told"); missing()</script>' } }
  })
  assert.equal((await fetch(`${pages.url}browser.mjs`)).headers.get('content-type'), 'text/javascript; charset=utf-8')
  for (const path of ['..%2fpackage.json', '%2e%2e/package.json', 'none', '%ff']) {
    assert.equal((await fetch(pages.url + path)).status, 404, path)
  }
  const person = await browser.person('ana')
  await person.open(pages.url)
  await eventually('both are noticed', () => person.problems.length === 2)
  assert.match(person.problems.sort().join('\n'), /ReferenceError: missing is not defined[\s\S]*told/)
  person.problems.length = 0
})
