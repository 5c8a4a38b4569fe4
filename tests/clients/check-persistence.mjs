// Start, write through y-websocket, kill -9, start, compare. Run by scripts/check-persistence, which
// says where the server's binary is; takes a few seconds and leaves nothing behind.

import assert from 'node:assert/strict'
import { Server } from './lib/server.mjs'
import { content, join, leave, newcomerSees, synced } from './lib/client.mjs'
import { eventually } from './lib/wait.mjs'

const ends = []
const t = { after: (end) => ends.unshift(end) }
let failed = false
try {
  const server = await Server.start(t)
  console.log(`started process ${server.pid} on ${server.http}`)
  const [author, reader] = [join(t, server, 'persistence'), join(t, server, 'persistence')]
  await synced(author, reader)
  for (let n = 0; n < 1_000; n++) {
    author.doc.getMap('map').set(`key-${n % 100}`, n)
    author.doc.getArray('array').push([n])
    author.doc.getText('text').insert(0, `${n} `)
    if (n % 10 === 9) author.doc.getArray('array').delete(0, 5)
  }
  await eventually('the reader has seen the last edit', () => reader.doc.getMap('map').get('key-99') === 999)
  await eventually('the reader has seen all', () => JSON.stringify(content(reader.doc)) === JSON.stringify(content(author.doc)))
  await server.kill('SIGKILL')
  console.log('1,000 rounds of edits written and seen by another client; killed with -9')
  leave(author) // nobody is left who could bring the content back: the reader below is only compared with
  reader.provider.disconnect()
  const began = Date.now()
  await server.startAgain()
  await newcomerSees(t, server, 'persistence', [reader])
  console.log(`started again; a newcomer had everything ${Date.now() - began} ms later`)
  assert.equal(reader.doc.getArray('array').length, 500)
} catch (error) {
  failed = true
  console.error(error.message)
}
for (const end of ends) await end()
console.log(failed ? 'FAILED' : 'ok')
process.exit(failed ? 1 : 0)
