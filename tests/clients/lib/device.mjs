// A device: a browser that keeps a copy of each room in IndexedDB, as retro apps do. `fake-indexeddb` stands for
// the browser's; it lives as long as the process, so a reload finds what was stored.

import 'fake-indexeddb/auto'
import { IndexeddbPersistence, clearDocument } from 'y-indexeddb'
import { Y, join, leave } from './client.mjs'

let devices = 0

export class Device {
  constructor (t, server, { Provider } = {}) {
    Object.assign(this, { t, server, Provider, id: ++devices })
  }

  store (room) { return `device-${this.id}/${room}` }

  /**
   * Opens a page on a room: the local copy is loaded first, then the provider connects.
   * @param {{ localFirst?: boolean, as?: string, params?: object }} options `localFirst: false` connects at once; `as` is the
   *   room that the server is asked for, while the local copy is that of `room`; `params` go into the address
   */
  async open (room, { localFirst = true, as = room, params = {} } = {}) {
    const doc = new Y.Doc()
    const page = { doc, closed: null }
    const load = () => { page.local = new IndexeddbPersistence(this.store(room), doc); return page.local.whenSynced }
    if (localFirst) await load()
    Object.assign(page, join(this.t, this.server, as, { doc, params, ...(this.Provider ? { Provider: this.Provider } : {}) }))
    page.provider.on('closed', (event) => { page.closed = event })
    if (!localFirst) page.load = load
    this.t.after(() => page.local?.destroy())
    return page
  }

  /** Closes the page; the local copy stays. */
  async close (page) {
    leave(page)
    await page.local?.destroy()
  }

  /** Deletes the local copy, as "reload without it" does. */
  async clear (room) { await clearDocument(this.store(room)) }
}

/** The board that the stories are about. */
export function fill (doc, name, cards) {
  for (const card of cards) {
    doc.getArray('array').push([`${name}: ${card}`])
    doc.getMap('map').set(`${name}-${card}`, 'card')
    doc.getText('text').insert(doc.getText('text').length, `[${name} ${card}]`)
  }
}

/** Each card of the board, once: what is lost is missing here, what is doubled is here twice. */
export const cards = (doc) => doc.getArray('array').toJSON().slice().sort()
