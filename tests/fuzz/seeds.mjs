// Where fuzzing begins: inputs for each target, honest ones and those of tests/fixtures/hostile.json.
//
//   node tests/fuzz/seeds.mjs DIR

import { createRequire } from 'node:module'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const require = createRequire(`${here}../clients/package.json`)
const Y = require('yjs')
const to = process.argv[2] ?? `${here}corpus`

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
