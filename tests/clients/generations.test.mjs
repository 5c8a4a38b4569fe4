// A retro's next morning: the room has expired, and browsers still hold the board (y-websocket with y-indexeddb).
// Nothing is lost, nothing is there twice, and two lives of one room never mix.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { Server } from './lib/server.mjs'
import { Y, content, converged, join, leave, newcomerSees, synced } from './lib/client.mjs'
import { Device, cards, fill } from './lib/device.mjs'
import { eventually, never, sleep } from './lib/wait.mjs'

/** Yesterday: two laptops and the board; then everyone goes home, and the room expires. */
async function yesterday (t) {
  const server = await Server.start(t)
  const [one, two] = [new Device(t, server), new Device(t, server)]
  const [first, second] = [await one.open('retro'), await two.open('retro')]
  await synced(first, second)
  fill(first.doc, 'one', ['start', 'stop'])
  fill(second.doc, 'two', ['go on'])
  await converged([first, second])
  const board = content(first.doc)
  await one.close(first)
  await two.close(second)
  await server.forget()
  return { server, one, two, board, kept: cards(first.doc) }
}

const refused = (page) => eventually('it is refused for good', () => page.closed?.code === 4409)

for (const late of [false, true]) {
  test(`[R16] a fresh phone joins first and writes nothing, then the laptop comes with the board${late ? ', loaded after it has joined' : ''}`, async (t) => {
    const { server, one, two, board, kept } = await yesterday(t)
    const phone = await new Device(t, server).open('retro')
    await synced(phone)
    assert.deepEqual(cards(phone.doc), [])
    const laptop = await one.open('retro', { localFirst: !late })
    await synced(laptop)
    if (late) await laptop.load()
    await converged([phone, laptop])
    assert.deepEqual(content(phone.doc), board)
    // It is a room as any other: people write, the other laptop comes too, and the server may restart.
    fill(phone.doc, 'phone', ['later'])
    const other = await two.open('retro')
    await synced(other)
    await converged([phone, laptop, other])
    assert.deepEqual(cards(other.doc), [...kept, 'phone: later'].sort())
    await server.kill()
    await server.startAgain()
    await eventually('all have returned', () => [phone, laptop, other].every(({ provider }) => provider.synced))
    await newcomerSees(t, server, 'retro', [phone, laptop, other])
    assert.deepEqual([phone, laptop, other].map(({ closed }) => closed), [null, null, null])
  })
}

test('[R16, R17] two laptops come back with the old board at the same time, each with edits of its own', async (t) => {
  const { server, one, two, kept } = await yesterday(t)
  await server.kill() // both wait for it, so that both come when it is there
  const pages = [await one.open('retro'), await two.open('retro')]
  pages.forEach(({ doc }, n) => fill(doc, `night ${n}`, ['thought']))
  await server.startAgain()
  await synced(...pages)
  await converged(pages)
  assert.deepEqual(cards(pages[0].doc), [...kept, 'night 0: thought', 'night 1: thought'].sort())
  await newcomerSees(t, server, 'retro', pages)
})

for (const begun of ['by a phone that writes first', 'with a board of its own']) {
  test(`[R13, R15] the room was begun anew, ${begun}: the laptop stops, nothing mixes, and it has a way back`, async (t) => {
    const { server, one, board, kept } = await yesterday(t)
    const phone = await new Device(t, server).open('retro')
    await synced(phone)
    fill(phone.doc, 'new', begun.startsWith('by') ? ['column'] : ['column', 'card', 'another'])
    await newcomerSees(t, server, 'retro', [phone])
    const fresh = content(phone.doc)

    const laptop = await one.open('retro')
    await refused(laptop)
    assert.match(laptop.closed.reason, /another life of this room/)
    const tries = laptop.connects
    await sleep(1_500)
    assert.equal(laptop.connects, tries, 'it stays away')
    assert.deepEqual([content(laptop.doc), content(phone.doc)], [board, fresh])

    // A reload with the copy does not help, however often; the copy is still whole.
    await one.close(laptop)
    const again = await one.open('retro')
    await refused(again)
    assert.deepEqual(content(again.doc), board)

    // The first way back: save it as a new room, where others see it and it goes on.
    await one.close(again)
    const saved = await one.open('retro', { as: 'retro-saved' })
    await synced(saved)
    const friend = join(t, server, 'retro-saved')
    await synced(friend)
    await converged([saved, friend])
    assert.deepEqual(content(friend.doc), board)
    fill(friend.doc, 'friend', ['thanks'])
    await converged([saved, friend])
    assert.deepEqual(cards(saved.doc), [...kept, 'friend: thanks'].sort())

    // The second: reload without the local copy.
    await one.close(saved)
    await one.clear('retro')
    const clean = await one.open('retro')
    await synced(clean)
    await converged([clean, phone])
    assert.deepEqual(content(clean.doc), fresh)
    fill(clean.doc, 'one', ['is back'])
    await converged([clean, phone])
    assert.equal(await server.metric('rooms_failed_total'), 0)
  })
}

test('[R13] a copy that is loaded after the join, into a room that was begun anew: refused, and the room stays clean', async (t) => {
  const { server, one } = await yesterday(t)
  const phone = await new Device(t, server).open('retro')
  await synced(phone)
  fill(phone.doc, 'new', ['column'])
  await newcomerSees(t, server, 'retro', [phone])
  const laptop = await one.open('retro', { localFirst: false })
  await synced(laptop)
  await laptop.load()
  await refused(laptop)
  assert.deepEqual(cards(phone.doc), ['new: column'])
  await newcomerSees(t, server, 'retro', [phone])
})

test('[R13] y-websocket 1.5 knows no final code and comes back for ever: about once a second, without a load', async (t) => {
  const { server, one } = await yesterday(t)
  const phone = await new Device(t, server).open('retro')
  await synced(phone)
  fill(phone.doc, 'new', ['column'])
  await newcomerSees(t, server, 'retro', [phone])
  one.Provider = Provider1
  const loads = await server.metric('rooms_loaded_total')
  const old = await one.open('retro')
  await eventually('it is refused', () => old.closes.includes(4409))
  const before = await server.metric('sessions_of_other_lives_total')
  await never('the phone sees it', () => cards(phone.doc).length > 1, 5_000)
  const tries = await server.metric('sessions_of_other_lives_total') - before
  assert.ok(tries >= 1 && tries <= 6, `${tries} tries in 5 s`)
  assert.equal(await server.metric('rooms_loaded_total'), loads)
  assert.equal(old.provider.synced, false)

  // Nobody else is there: its own tries keep the room in memory.
  leave(phone)
  await sleep(2_500)
  assert.equal(await server.metric('rooms_loaded_total'), loads)
})

test('[S4, R16] 10,000 edits while offline, kept over a reload: merged into the room, and into one that has expired', async (t) => {
  const server = await Server.start(t)
  const device = new Device(t, server)
  const [laptop, friend] = [await device.open('long'), join(t, server, 'long')]
  await synced(laptop, friend)
  fill(laptop.doc, 'before', ['card'])
  await converged([laptop, friend])
  laptop.provider.disconnect()
  for (let n = 0; n < 10_000; n++) {
    if (n % 3 === 0) laptop.doc.getArray('array').push([`edit ${n}`])
    else if (n % 3 === 1) laptop.doc.getMap('map').set(`key ${n % 100}`, n)
    else laptop.doc.getText('text').insert(laptop.doc.getText('text').length >> 1, `${n} `)
    if (n % 500 === 0) await sleep(0) // the local store gets its turn
  }
  fill(friend.doc, 'friend', ['meanwhile'])
  const own = cards(laptop.doc)
  assert.equal(own.length, 3_335)
  await sleep(1_500) // y-indexeddb folds what it has stored a second after the last edit
  await device.close(laptop)

  const back = await device.open('long')
  assert.deepEqual(cards(back.doc), own, 'the local copy is whole')
  await synced(back)
  await converged([back, friend])
  assert.deepEqual(cards(friend.doc), [...own, 'friend: meanwhile'].sort())
  const whole = content(back.doc)
  await device.close(back)
  leave(friend)

  await server.forget()
  const later = await device.open('long')
  await synced(later)
  const newcomer = join(t, server, 'long', { doc: new Y.Doc() })
  await synced(newcomer)
  await converged([later, newcomer])
  assert.deepEqual(content(newcomer.doc), whole)
})
