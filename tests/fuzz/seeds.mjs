// Writes what is kept in tests/fuzz/seeds, where fuzzing begins: inputs for each target, honest ones and those of tests/fixtures. The
// same each time. What an input means is said in tests/fuzz/src.
//
//   node tests/fuzz/seeds.mjs

import { createRequire } from 'node:module'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const require = createRequire(`${here}../clients/package.json`)
const Y = require('yjs')
const to = `${here}seeds`
rmSync(to, { recursive: true, force: true })

function put (target, bytes) {
  const name = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  mkdirSync(`${to}/${target}`, { recursive: true })
  writeFileSync(`${to}/${target}/${name}`, bytes)
}

/** A room's traffic, as the target `gate` reads it. */
const traffic = (messages) => Buffer.concat(messages.map(({ flags = 0, bytes }) => {
  const head = Buffer.from([flags, 0, 0])
  head.writeUInt16LE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}))

const hostile = JSON.parse(readFileSync(`${here}../fixtures/hostile.json`, 'utf8'))
for (const { hex } of hostile) {
  const bytes = hex.map((text) => Buffer.from(text, 'hex')).filter(({ length }) => length < 65_536)
  put('gate', traffic(bytes.map((bytes) => ({ bytes }))))
  for (const some of bytes) {
    put('presence', some)
    for (const which of [0, 2]) put('frames', Buffer.from([which, ...some.subarray(0, 4_096)]))
  }
}

// Two people on everything that a document can hold, each update by itself; then what one lacks, in one piece.
for (let round = 0; round < 12; round++) {
  const docs = [new Y.Doc(), new Y.Doc()]
  docs.forEach((doc, n) => { doc.clientID = n + 1 })
  const log = []
  docs.forEach((doc, n) => doc.on('update', (bytes, origin) => {
    if (origin === 'other') return
    log.push({ flags: (round & 1) * 4, bytes: Buffer.from(bytes) })
    if (round % 3 !== 2) Y.applyUpdate(docs[1 - n], bytes, 'other')
  }))
  docs.forEach((doc, n) => {
    const [map, array, text] = [doc.getMap('m'), doc.getArray('a'), doc.getText('t')]
    map.set('k', [n, 'x', { a: null, b: [true, 1.5, 2n ** 40n] }, new Uint8Array([1, 2])][round % 4])
    array.insert(0, [1, 'two', { three: 3 }])
    text.insert(0, 'ab😀cd')
    text.format(1, 3, { bold: true })
    text.insertEmbed(2, { image: 'x' })
    map.set('inner', round % 2 ? new Y.Map([['a', new Y.Text('deep')]]) : new Y.Array())
    const element = new Y.XmlElement('p')
    doc.getXmlFragment('x').insert(0, [element, new Y.XmlText('xml')])
    element.setAttribute('class', 'c')
    if (array.length > 2) array.delete(1, 2)
    text.delete(0, 2)
    map.delete('k')
    map.set('k', 'again')
  })
  log.push({ flags: 1, bytes: Buffer.from(Y.encodeStateAsUpdate(docs[round % 2])) })
  put('gate', traffic(log))
  put('gate', traffic(log.toReversed()))
  put('gate', traffic(log.map((message, n) => n % 4 === 1 ? { ...message, flags: 2 } : message)))
  for (const { bytes } of log.slice(0, 4)) put('frames', Buffer.from([round % 3, 0, 2, bytes.length & 0x7f, ...bytes.subarray(0, bytes.length & 0x7f)]))
  put('presence', Buffer.from(Y.encodeStateVector(docs[0])))
}

const state = (text) => Buffer.concat([Buffer.from([1, 7, 1, text.length]), Buffer.from(text)])
for (const text of ['{}', 'null', '{"user":{"name":"Ada","color":"#123abc"}}', '[1,-2.5e3,"\\u00e9",true]']) {
  put('presence', state(text))
  for (const which of [0, 1, 2]) put('frames', Buffer.from([which, 1, state(text).length, ...state(text)]))
}
const named = (body) => Buffer.from([4 + body.length, 3, 0x61, 0x2f, 0x62, ...body])
put('frames', Buffer.concat([Buffer.from([3]), named([2, 0, 1, 0x74]), named([0, 0, 1, 0]), named([0, 1, 2, 0, 0]), named([0, 2, 2, 0, 0]), named([5, 1, 0x78]), named([7])]))
for (const bytes of [[0, 0, 1, 0], [0, 1, 2, 0, 0], [0, 2, 2, 0, 0], [3], [0x66, 1, 0], [0x6e, 1, 0]]) for (const which of [0, 1, 2]) put('frames', Buffer.from([which, ...bytes]))
const socket = [0x82, 0x83, 1, 2, 3, 4, 1, 2, 2, 0x89, 0x80, 0, 0, 0, 0, 0x02, 0x81, 0, 0, 0, 0, 7, 0x80, 0x81, 0, 0, 0, 0, 8, 0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]
for (const cut of [1, 3, 200]) put('frames', Buffer.from([4, cut, ...socket]))

const header = '{"alg":"HS256","typ":"JWT"}'
const claims = [
  { sub: 'ada', exp: 1_795_000_060, room: 'retro', role: 'editor' },
  { sub: 'ada', exp: 1_795_000_060, iat: 1_794_999_000, nbf: 1_794_999_000, rooms: ['ret*', 'a'], name: 'Ada', color: '#123abc', jti: 'x' },
  { sub: 'root', exp: 1_795_000_060, role: 'admin', iss: 'me', aud: ['a', 'b'] }
].map((all) => JSON.stringify(all))
for (const text of claims) {
  put('tokens', Buffer.from(`\x01${text}`))
  for (const which of ['\x02', '\x03']) {
    put('tokens', Buffer.from(`${which}${header}\n${text}`))
    put('tokens', Buffer.from(`${which}{"alg":"none"}\n${text}`))
    put('tokens', Buffer.from(`${which}{"alg":"EdDSA","kid":"a","crit":["x"]}\n${text}`))
  }
  const part = (text) => Buffer.from(text).toString('base64url')
  put('tokens', Buffer.from(`\0${part(header)}.${part(text)}.${part('0'.repeat(32))}`))
}
for (const name of ['ed25519.pem', 'ed25519.pub.pem', 'p256.pem', 'p256.pub.pem', 'rsa-2048.pub.pem']) put('tokens', Buffer.concat([Buffer.from([4]), readFileSync(`${here}../fixtures/auth/${name}`)]))
put('tokens', Buffer.from(`\x04{"keys":[{"kty":"oct","kid":"a","k":"${'ab12cd34'.repeat(6)}"}]}`))
for (const change of [[], [0, 0, 0x61], [40, 0, 0x2e, 90, 0, 0x41], [255, 255, 0x3d]]) put('tokens', Buffer.from([5, ...change]))

const json = (value) => Buffer.from(JSON.stringify(value))
const of = (which, ...pieces) => Buffer.concat([Buffer.from([which]), ...pieces])
const fixture = (name) => readFileSync(`${here}../fixtures/${name}`)
const fixtures = (folder) => readdirSync(`${here}../fixtures/${folder}`).sort().map((name) => fixture(`${folder}/${name}`))

for (const edit of [
  { roots: { list: 'array', notes: 'text' }, operations: [
    { op: 'set', path: ['m', 'new'], value: { text: 'hi' }, as: 'map' }, { op: 'set', path: ['m', 'new', 'votes'], value: 1.5 },
    { op: 'insert', path: ['list'], values: [1, { x: [true, null] }] }, { op: 'insert', path: ['notes'], text: 'a😀b' },
    { op: 'delete', path: ['notes'], at: 0, count: 1 }] },
  { operations: [{ op: 'set', path: ['a', 1], value: 'TWO' }, { op: 'delete', path: ['a', 3, 'x'] }, { op: 'delete', path: ['a'], at: 0, count: 2 }] },
  { operations: [{ op: 'insert', path: ['t'], at: 4, text: '𝕏' }, { op: 'delete', path: ['t'], at: 2, count: 2 }, { op: 'set', path: ['m', 'inner', 'list', 2], value: [[]], as: 'array' }] },
  { if: '1-2', operations: [{ op: 'set', path: ['m', 'k'], value: 'text', as: 'text' }, { op: 'insert', path: ['m', 'k'], text: '!' }, { op: 'delete', path: ['m', 'inner'] }] },
  { operations: [{ op: 'set', path: ['x', 0], value: 1 }, { op: 'delete', path: ['m', 'none'] }] }
]) put('edits', of(0, json(edit)))
const id = 'i'
for (const edits of [
  [{ type: 'addItem', id: 'n', text: 'new', column: 'went', position: { x: -1, y: 0.25 } }, { type: 'setItemText', id, text: 'said otherwise' }, { type: 'setItemColumn', id, column: null }, { type: 'moveItem', id, position: { x: 3, y: 4 } }],
  [{ type: 'setItemGroup', id, group: null }, { type: 'deleteGroup', id: 'g' }, { type: 'vote', target: id, count: 0 }, { type: 'deleteItem', id }],
  [{ type: 'setGroup', id: 'g', title: 'another', order: -2 }, { type: 'setSignatureColor', signature: 'ada', color: '#ffffff' }, { type: 'setActionItem', id: 'do', text: 'done', done: true, order: 3 }, { type: 'deleteActionItem', id: 'do' }],
  [{ type: 'setMeta', title: 'T', phase: 'vote', columns: [{ id: 'a', title: 'A', color: '#000000' }, { id: 'b', title: '' }], voteLimit: 3, timerEndsAt: 1795000000000, hideCards: true }, { type: 'vote', target: 'g', count: 1 }],
  [{ type: 'deleteItem', id: 'none' }, { type: 'addItem', id, text: 'again' }]
]) put('edits', of(1, json(edits)))
for (const board of [fixture('exports/board.json'), json({ items: { a: { text: 'x' } }, allUserVotes: { 'b/ob': { a: 2 } }, meta: { timerEndsAt: null, hideCards: true } })]) put('edits', of(2, board))

for (const record of fixtures('records')) put('stored', of(0, record))
for (const snapshot of fixtures('snapshots')) put('stored', of(1, snapshot))
const part = (kind, body) => {
  const head = Buffer.alloc(9) // the checksum is set right where it is read
  head[0] = kind
  head.writeUInt32LE(body.length, 1)
  return Buffer.concat([head, body])
}
const stored = (name) => part(0x82, Buffer.concat([Buffer.from([7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]), fixture(`records/${name}.bin`)]))
for (const expects of ['anything', 'present', { at: 7 }, { last: 9 }]) put('stored', of(2, part(0x81, json({ instance: '0000000000000abc', number: 3, expects, ttl_ms: null })), stored('v1-genesis'), stored('v1-update')))
put('stored', of(2, part(0x83, Buffer.from('0123456789abcdefdamaged')), part(0x85, Buffer.from('01234567____a chunk')), part(9, Buffer.from('news'))))
const kept = { revision: 3, upload: 'fffffffffffffffe', through: '1795000000000-9', log_bytes: 10, chunks: 2, bytes: 30 }
for (const form of [
  kept, { snapshot: kept, drop: [1, 2] }, { kind: 'moved', error: 'elsewhere' }, { adopted: true, revision: 4 }, { rooms: ['a', 'b/c'] },
  { last: '1795000000000-12', base: 4, bytes: 5, revision: 3, deadline_ms: 5, frozen: true, snapshots: [kept] },
  { created: '1-1', first: '1-2', last: '1-3', duplicate: false }
]) put('stored', of(3, json(form)))
put('stored', of(3, Buffer.from('1795000000000-12')))

const update = (name) => {
  const bytes = fixture(`imports/updates/${name}.bin`)
  return Buffer.concat([Buffer.from([bytes.length & 255, bytes.length >> 8]), bytes])
}
put('imports', of(0, update('sub')))
put('imports', of(0, update('team%2Fplans'), update('retro')))
put('imports', of(0, update('retro')))
for (const name of ['retro', 'plans-1', 'nothing']) put('imports', of(1, fixture(`imports/y-sweet-0.9.1/${name}/data.ysweet`)))
const level = 'imports/y-leveldb-0.2.0/'
put('imports', of(2, fixture(`${level}MANIFEST-000004`)))
put('imports', of(3, fixture(`${level}000006.log`).subarray(0, 2048)))
put('imports', of(3, fixture(`${level}000006.log`)))
{ // the first block of the table, in front of its five bytes of trailer: the index is not needed for that
  const table = fixture(`${level}000005.ldb`)
  let at = table.length - 48
  const varint = () => { let number = 0; for (let shift = 0; ; shift += 7) { const byte = table[at++]; number += (byte & 127) * 2 ** shift; if (byte < 128) return number } }
  varint(); varint()
  at = varint()
  const [, own] = [varint(), varint(), varint()]
  at += own
  const [from, bytes] = [varint(), varint()]
  put('imports', of(4, table.subarray(from + bytes, from + bytes + 1), table.subarray(from, from + bytes)))
}
{ // a block that is not compressed: y-leveldb's state vector and one update of the document "d"
  const key = (...parts) => Buffer.concat([...parts.map((part) => typeof part === 'number' ? Buffer.from([1, 0, 0, 0, part]) : Buffer.from([0, part.length, ...Buffer.from(part)])), Buffer.from([1, 1, 0, 0, 0, 0, 0, 0])])
  const entry = (key, value) => Buffer.concat([Buffer.from([0, key.length, value.length]), key, value])
  const written = new Y.Doc()
  written.clientID = 1
  written.getText('t').insert(0, 'hi')
  put('imports', of(4, Buffer.from([0]), entry(key('v1', 'd', 'update', 0), Buffer.from(Y.encodeStateAsUpdate(written))), entry(key('v1_sv', 'd'), Buffer.from([0, 0])), Buffer.from([0, 0, 0, 0, 1, 0, 0, 0])))
}
put('imports', of(5, fixture('imports/hocuspocus-sqlite-4.7.0/db.sqlite')))
put('imports', of(6, fixture('imports/seed.json')))
put('imports', of(6, json({ items: [{ id: 'a', text: 'x' }], meta: { title: 'T' } })))
for (const name of ['v1-story', 'v1-compacted']) put('imports', of(7, fixture(`exports/${name}.ruang`)))

for (const lines of [
  'host: a.example:8080\norigin: https://b.example',
  'x-forwarded-for: 198.51.100.1, 10.0.0.2\nx-forwarded-proto: https, http\nx-forwarded-host: sync.example.com\nx-forwarded-prefix: /ruang/',
  'x-forwarded-for: [2001:db8::1]:80\nx-forwarded-for: ::1\nhost: [::1]:1234',
  'forwarded: for="[2001:db8::1]:4711";proto=https;host=sync.example.com, for=10.0.0.2;by=10.0.0.1',
  'forwarded: for=unknown;proto=wss\nforwarded: for=_hidden'
]) for (const which of [0, 1, 2]) put('headers', of(which, Buffer.from(lines)))
for (const text of ['https://app.example.com', 'https://*.example.com:8443', 'http://[::1]:3000', 'https://sync.example.com/ruang', 'team/retro 1', '..', 'null', 'é%2F~']) put('headers', of(3, Buffer.from(text)))
