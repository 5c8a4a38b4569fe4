// A room that was begun anew while a browser held the old one: both ways out, in all tabs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pages, saved, shows, until, write } from '../lib/page.mjs'

/** Two tabs and their copy of a room that was deleted, and begun anew by somebody else. */
async function parted (t) {
  const { browser, server, open, reload } = await pages(t)
  const ana = await browser.person('ana')
  ana.expect(/status of 404/) // the question whether a name is free
  const [one, two] = [await open(ana), await open(ana)]
  await write(one, 'old')
  await saved(one, two)
  await Promise.all([one, two].map((tab) => tab.evaluate(() => client.disconnect())))
  await write(two, 'old, never sent')
  const ben = await open(await browser.person('ben'))
  await saved(ben)
  assert.equal((await fetch(`${server.http}/api/v1/rooms/board`, { method: 'DELETE' })).status, 204)
  await until(ben, () => client.conflict !== undefined)
  await ben.evaluate(() => client.conflict.takeServer())
  await write(ben, 'new')
  await saved(ben)
  await Promise.all([one, two].map((tab) => tab.evaluate(() => client.connect())))
  for (const tab of [one, two]) await until(tab, () => client.conflict?.reason.code === 4409 && client.status === 'refused')
  await shows(one, ['old', 'old, never sent'])
  await reload(one)
  await until(one, () => client.conflict !== undefined)
  await shows(one, ['old', 'old, never sent'])
  return { browser, server, open, reload, one, two, ben }
}

test('[C30] take the server\'s: both tabs go on with the new room, and a reload finds nothing of the old one', async (t) => {
  const { one, two, ben, server, reload } = await parted(t)
  await one.evaluate(() => client.conflict.takeServer())
  await saved(one, two)
  for (const tab of [one, two]) await shows(tab, ['new'])
  await write(one, 'and on')
  await saved(one)
  for (const tab of [two, ben]) await shows(tab, ['and on', 'new'])
  await one.evaluate(() => client.stored())
  await server.kill()
  await reload(two)
  await shows(two, ['and on', 'new'])
})

test('[C31] keep mine: both tabs go on in a room of another name, which has all of the copy; the new room is as it was', async (t) => {
  const { browser, one, two, ben, server, open, reload } = await parted(t)
  await assert.rejects(two.evaluate(() => client.conflict.keepMineAs('board')))
  await two.evaluate(() => client.conflict.keepMineAs('board, mine'))
  for (const tab of [one, two]) {
    await until(tab, () => client.room === 'board, mine' && client.conflict === undefined)
    await shows(tab, ['old', 'old, never sent'])
  }
  await saved(one, two)
  await write(one, 'and on')
  await saved(one)
  await shows(two, ['old', 'old, never sent', 'and on'])
  const cas = await open(await browser.person('cas'), { room: 'board, mine' })
  await shows(cas, ['old', 'old, never sent', 'and on'])
  await shows(ben, ['new'])
  await one.evaluate(() => client.stored())
  await reload(one) // the old name: nothing of the copy is left there
  await saved(one)
  await shows(one, ['new'])
  await server.kill()
  await reload(two, { room: 'board, mine' })
  await shows(two, ['old', 'old, never sent', 'and on'])
})

for (const choice of ['take', 'keep']) {
  test(`[C30, C31] a copy of the old room that can be opened late only is not mixed in either: ${choice}`, async (t) => {
    const { browser, server, open, tab, options } = await pages(t)
    const ana = await browser.person('ana')
    ana.expect(/status of 404/)
    const before = await open(ana)
    await write(before, 'old')
    await saved(before)
    await before.evaluate(() => client.close())
    await before.close()
    assert.equal((await fetch(`${server.http}/api/v1/rooms/board`, { method: 'DELETE' })).status, 204)
    const ben = await open(await browser.person('ben'))
    await write(ben, 'new')
    await saved(ben)
    const busy = await tab(ana)
    await busy.evaluate(() => new Promise((resolve) => {
      indexedDB.open('ruang').onsuccess = ({ target: { result } }) => {
        window.spin = true
        const rooms = result.transaction(['rooms', 'records'], 'readwrite').objectStore('rooms')
        const turn = () => { if (window.spin) rooms.count().onsuccess = turn }
        turn()
        resolve()
      }
    }))
    const page = await tab(ana)
    await page.evaluate((options) => window.begin(options), options())
    await until(page, () => warnings.includes('storage-blocked') && client.status === 'synced')
    await write(page, 'of today')
    await saved(page)
    await busy.evaluate(() => { window.spin = false })
    await until(page, () => client.conflict !== undefined)
    await shows(page, ['new', 'of today'])
    await shows(ben, ['new', 'of today'])
    if (choice === 'take') {
      await page.evaluate(() => client.conflict.takeServer())
    } else {
      await page.evaluate(() => client.conflict.keepMineAs('yesterday'))
      await shows(page, ['old'])
      const cas = await open(await browser.person('cas'), { room: 'yesterday' })
      await shows(cas, ['old'])
      await page.evaluate(() => client.close())
      await page.evaluate((options) => window.begin(options), options())
    }
    await saved(page)
    await shows(page, ['new', 'of today'])
    await shows(ben, ['new', 'of today'])
    await page.evaluate(() => client.stored())
    const again = await open(ana)
    await saved(again)
    await shows(again, ['new', 'of today'])
  })
}

test('[C30] a tab that slept while another one threw the copy away writes nothing into the new one', async (t) => {
  const { browser, server, open, tab, options } = await pages(t)
  const ana = await browser.person('ana')
  const asleep = await tab(ana)
  await asleep.evaluate((options) => {
    delete window.BroadcastChannel // a frozen tab hears nothing
    return window.begin(options)
  }, options())
  await write(asleep, 'old')
  await saved(asleep)
  const one = await open(ana)
  await saved(one)
  await asleep.evaluate(() => client.disconnect())
  assert.equal((await fetch(`${server.http}/api/v1/rooms/board`, { method: 'DELETE' })).status, 204)
  await until(one, () => client.conflict !== undefined)
  await one.evaluate(() => client.conflict.takeServer())
  await write(one, 'new')
  await saved(one)
  await write(asleep, 'late')
  await until(asleep, () => warnings.includes('storage-other-life'))
  await asleep.evaluate(() => client.connect())
  await until(asleep, () => client.conflict !== undefined)
  await one.evaluate(() => client.stored())
  const third = await open(ana)
  await saved(third)
  await shows(third, ['new'])
  await asleep.evaluate(() => client.conflict.takeServer())
  await saved(asleep)
  await shows(asleep, ['new'])
  await shows(one, ['new'])
})
