// A page with the client in it, as a plain HTML page has it: one script, and the wasm beside it.

import { Browser, LOST_SERVER } from '../../../../tests/browser/lib/browser.mjs'
import { serve } from '../../../../tests/browser/lib/pages.mjs'
import { Server } from '../../../../tests/clients/lib/server.mjs'

export const dist = new URL('../../dist/', import.meta.url)

const PAGE = `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>board</title><p>a page
<script type=module>
import * as ruang from '/client/ruang-client.browser.js'
Object.assign(window, { ruang, warnings: [], refusals: [] })
/** Makes the page's client; resolves when edits can be made. */
window.begin = async (options) => {
  window.client = new ruang.RuangClient(options)
  client.on('warning', ({ code }) => warnings.push(code))
  client.on('refused', (refusal) => refusals.push(refusal))
  await client.ready
}
/** All texts on the board, sorted. */
window.texts = () => Object.values(client.state.items).map(({ text }) => text).sort()
document.title = 'ready'
</script>`

/**
 * A browser, a server, and pages between them. Losing the server is no error of a page here.
 * @returns opens a tab of a person with a client in it
 */
export async function pages (t, { headers, args, page: body = PAGE, folders = {} } = {}) {
  const browser = await Browser.start(t)
  const site = await serve(t, { '/client/': dist, ...folders }, { headers, files: { '/': { type: 'text/html; charset=utf-8', body } } })
  const server = await Server.start(t, { args: args?.(site.origin) })
  const options = (more) => ({ url: server.http, room: 'board', ...more })

  /** A tab without a client. */
  async function tab (person) {
    person.expect(LOST_SERVER)
    const page = await person.open(site.url)
    await page.waitForFunction(() => document.title === 'ready')
    return page
  }

  /** A tab with a client that is ready. */
  async function open (person, more = {}) {
    const page = await tab(person)
    await page.evaluate((options) => window.begin(options), options(more))
    return page
  }

  /** The same tab after a reload. */
  async function reload (page, more = {}) {
    await page.reload()
    await page.waitForFunction(() => document.title === 'ready')
    await page.evaluate((options) => window.begin(options), options(more))
  }

  return { browser, server, site, tab, open, reload, options }
}

/** Waits for an expression to be true in a page. */
export const until = (page, what, argument) => page.waitForFunction(what, argument)

/** Waits until all is stored at the server. */
export const saved = (...tabs) => Promise.all(tabs.map((page) => until(page, () => client.status === 'synced' && client.unsaved === 0)))

/** Adds a card for each text. */
export const write = (page, ...texts) => page.evaluate((texts) => texts.map((text) => client.edit.addItem({ text })), texts)

export const texts = (page) => page.evaluate(() => texts())

/** Waits until a tab shows exactly these texts. */
export const shows = (page, expected) => until(page, (expected) => JSON.stringify(texts()) === expected, JSON.stringify([...expected].sort()))
