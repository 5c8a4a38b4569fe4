// What people do in a room: edit together, come late, go offline and come back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from './lib/server.mjs'
import { Y, content, converged, disconnected, join, newcomerSees, synced } from './lib/client.mjs'
import { eventually } from './lib/wait.mjs'

test('[S3] maps, arrays, texts and XML edited by three clients at once are the same for all, and for one who comes late', async (t) => {
  const server = await Server.start(t)
  const clients = [0, 1, 2].map(() => join(t, server, 'together'))
  await synced(...clients)
  clients.forEach(({ doc }, n) => {
    doc.getMap('map').set(`of-${n}`, { n, list: [1, 'two', null, true, 1.5] })
    doc.getMap('map').set('shared', n)
    doc.getMap('map').set(`nested-${n}`, new Y.Map([['inner', new Y.Array()]]))
    doc.getArray('array').insert(0, [n, `item ${n}`, new Uint8Array([n])])
    doc.getText('text').insert(0, `line ${n} äöü 😀\n`)
    const paragraph = new Y.XmlElement('p')
    paragraph.setAttribute('align', `a${n}`)
    paragraph.insert(0, [new Y.XmlText(`paragraph ${n}`)])
    doc.getXmlFragment('xml').insert(0, [paragraph])
  })
  await converged(clients)
  const [{ doc }] = clients
  assert.equal(doc.getArray('array').length, 9)
  assert.equal(doc.getXmlFragment('xml').length, 3)
  assert.deepEqual(Object.keys(content(doc).map).sort(), ['nested-0', 'nested-1', 'nested-2', 'of-0', 'of-1', 'of-2', 'shared'])
  doc.getMap('map').get('nested-1').get('inner').push(['from another'])
  await eventually('an edit inside a nested type arrives', () =>
    clients[2].doc.getMap('map').get('nested-1').get('inner').get(0) === 'from another')
  await newcomerSees(t, server, 'together', clients)
})

test('[S3] formats and embeds survive concurrent edits of the same words', async (t) => {
  const server = await Server.start(t)
  const clients = [0, 1, 2].map(() => join(t, server, 'formats'))
  await synced(...clients)
  const [a, b, c] = clients
  a.doc.getText('text').insert(0, 'the quick brown fox')
  await converged(clients)
  a.doc.getText('text').format(4, 11, { bold: true })
  b.doc.getText('text').format(10, 9, { italic: true, link: { href: 'https://example.org' } })
  b.doc.getText('text').insertEmbed(3, { image: 'x.png' }, { width: 10 })
  c.doc.getText('text').delete(4, 6)
  c.doc.getText('text').format(0, 3, { bold: true })
  c.doc.getText('text').format(0, 3, { bold: null })
  await converged(clients)
  const delta = a.doc.getText('text').toDelta()
  assert.ok(delta.some(({ insert, attributes }) => insert?.image === 'x.png' && attributes.width === 10), JSON.stringify(delta))
  assert.ok(delta.some(({ attributes }) => attributes?.bold && attributes?.italic), JSON.stringify(delta))
  await newcomerSees(t, server, 'formats', clients)
})

test('[S4] edits of a client that was offline and of those who were not are merged when it returns', async (t) => {
  const server = await Server.start(t)
  const clients = [0, 1, 2].map(() => join(t, server, 'offline'))
  await synced(...clients)
  const [away, here, other] = clients
  here.doc.getText('text').insert(0, 'common')
  here.doc.getArray('array').push([1, 2, 3])
  await converged(clients)
  away.provider.disconnect()
  await disconnected(away)
  away.doc.getText('text').insert(6, ' from away')
  away.doc.getMap('map').set('key', 'away')
  away.doc.getArray('array').delete(0, 1)
  here.doc.getText('text').insert(0, 'here: ')
  here.doc.getMap('map').set('key', 'here')
  here.doc.getArray('array').delete(1, 1)
  await converged([here, other])
  assert.equal(away.doc.getText('text').toString(), 'common from away')
  away.provider.connect()
  await converged(clients)
  assert.equal(here.doc.getText('text').toString(), 'here: common from away')
  assert.deepEqual(here.doc.getArray('array').toJSON(), [3])
  await newcomerSees(t, server, 'offline', clients)
})

test('[S5] deletions made while a client was offline reach it, though its state vector is up to date', async (t) => {
  const server = await Server.start(t)
  const [away, here] = [join(t, server, 'deletes'), join(t, server, 'deletes')]
  await synced(away, here)
  here.doc.getArray('array').push([1, 2, 3, 4])
  here.doc.getMap('map').set('gone', 1)
  await converged([away, here])
  away.provider.disconnect()
  await disconnected(away)
  here.doc.getArray('array').delete(1, 2)
  here.doc.getMap('map').delete('gone')
  // Deletions alone move no clock: this is what makes the case special.
  assert.deepEqual(Y.encodeStateVector(away.doc), Y.encodeStateVector(here.doc))
  await newcomerSees(t, server, 'deletes', [here])
  away.provider.connect()
  await converged([away, here])
  assert.deepEqual(away.doc.getArray('array').toJSON(), [1, 4])
  assert.deepEqual(away.doc.getMap('map').toJSON(), {})
})

test('[S5] deletions made offline reach the others', async (t) => {
  const server = await Server.start(t)
  const [away, here] = [join(t, server, 'deletes-2'), join(t, server, 'deletes-2')]
  await synced(away, here)
  here.doc.getText('text').insert(0, 'one two three')
  await converged([away, here])
  away.provider.disconnect()
  await disconnected(away)
  away.doc.getText('text').delete(3, 4)
  away.provider.connect()
  await converged([away, here])
  assert.equal(here.doc.getText('text').toString(), 'one three')
  await newcomerSees(t, server, 'deletes-2', [here])
})

test('[S3] undo and redo reach the others, also of deletions and formats', async (t) => {
  const server = await Server.start(t)
  const clients = [join(t, server, 'undo'), join(t, server, 'undo')]
  await synced(...clients)
  const [{ doc }, other] = clients
  const undo = new Y.UndoManager([doc.getText('text'), doc.getMap('map')], { captureTimeout: 0 })
  doc.getText('text').insert(0, 'keep this')
  doc.getText('text').format(0, 4, { bold: true })
  doc.getMap('map').set('key', 1)
  doc.getMap('map').set('key', 2)
  doc.getText('text').delete(0, 5)
  await converged(clients)
  assert.deepEqual(content(other.doc).text, [{ insert: 'this' }])
  undo.undo()
  undo.undo()
  await converged(clients)
  assert.deepEqual(content(other.doc).text, [{ insert: 'keep', attributes: { bold: true } }, { insert: ' this' }])
  assert.deepEqual(content(other.doc).map, { key: 1 })
  undo.redo()
  await converged(clients)
  assert.deepEqual(content(other.doc).map, { key: 2 })
  await newcomerSees(t, server, 'undo', clients)
})

test('[S6] a client that asks again at an interval (resyncInterval) gets a Step2 each time and stays connected', async (t) => {
  const server = await Server.start(t)
  const [asking, other] = [join(t, server, 'resync', { resyncInterval: 50 }), join(t, server, 'resync')]
  await synced(asking, other)
  let answers = 0
  const socket = asking.provider.ws
  socket.on('message', (data) => {
    const [type, kind] = new Uint8Array(data)
    if (type === 0 && kind === 1) answers++
  })
  for (let n = 0; n < 20; n++) {
    other.doc.getArray('array').push([n])
    await eventually('more answers', () => answers > n)
  }
  await converged([asking, other])
  assert.equal(asking.connects, 1)
})

test('[S3] [R9] large documents written offline go up in one message, and down, and hold up nobody', async (t) => {
  const server = await Server.start(t)
  const clients = Array.from({ length: 6 }, (_, n) => {
    const doc = new Y.Doc()
    doc.getText('text').insert(0, `${n}${'large '.repeat(500_000)}`) // 3 MB, before it joins
    return join(t, server, `large-${n % 3}`, { doc })
  })
  const others = [join(t, server, 'small'), join(t, server, 'small')]
  await synced(...others)
  for (let n = 0; n < 20; n++) {
    others[0].doc.getMap('map').set('n', n)
    await eventually('small edits go on', () => others[1].doc.getMap('map').get('n') === n, { within: 5_000 })
  }
  await synced(...clients)
  for (const room of [0, 1, 2]) {
    const [one, two] = [clients[room], clients[room + 3]]
    // The content is compared once the sizes agree: comparing 6 MB takes its time.
    await eventually('both texts are there', () => [one, two].every(({ doc }) => doc.getText('text').length === 2 * 3_000_001))
    one.doc.getText('text').insert(0, 'x'.repeat(900_000)) // an Update just below its bound
    await eventually('the large update arrives', () => two.doc.getText('text').length === 2 * 3_000_001 + 900_000)
    await newcomerSees(t, server, `large-${room}`, [one, two])
  }
  for (const { connects } of clients) assert.equal(connects, 1)
})
