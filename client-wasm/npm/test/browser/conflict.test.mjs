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
