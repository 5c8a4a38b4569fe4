// The guides of docs/MOVING.md as they stand there: each program runs, sees what was imported, and writes into the room.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { join, leave, synced } from '../lib/client.mjs'
import { moveIn } from '../lib/move-in.mjs'
import { python } from '../lib/pycrdt.mjs'
import { Server } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

const ADDRESS = '127.0.0.1:8080'
const ROOM = 'retro-41'
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url))
const yrs = process.env.GUIDE_YRS ?? path('../../../target/debug/examples/guide-yrs')

/** What stands in the guide: the program in the block below its heading. */
async function guide (heading, language) {
  const text = await readFile(new URL('../../../docs/MOVING.md', import.meta.url), 'utf8')
  const section = text.split(/^### /m).find((section) => section.startsWith(`${heading}\n`))
  assert.ok(section, `docs/MOVING.md has a guide for ${heading}`)
  const [, program] = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(section)
  assert.ok(program.includes(ADDRESS) && program.includes(ROOM) && program.includes('before: '))
  return program
}

/** Runs a program, and waits until it shows what was imported, and until its own line has reached somebody else. */
async function walk (t, server, says, [command, ...args], what = says) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text) => { out += text })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  t.after(async () => { child.kill('SIGKILL'); await ended })
  await eventually(`${what} shows what was imported`, () => out.includes('from before'), { within: 30_000 })
  const other = join(t, server, ROOM)
  await synced(other)
  const line = `${says} was here`
  await eventually(`others see ${what}`, () => other.doc.getArray('list').toArray().includes(line), { within: 30_000 })
  assert.deepEqual(other.doc.getArray('list').toArray().filter((entry) => entry === 'from before'), ['from before'])
  leave(other)
  await eventually(`${what} sees itself`, () => out.includes(line), { within: 30_000 })
  child.kill('SIGKILL')
  await ended
}

/** A server, and a room in it that was imported from a file. */
async function moved (t) {
  const server = await Server.start(t)
  const { Doc, encodeStateAsUpdate } = await import('yjs')
  const doc = new Doc()
  doc.getArray('list').push(['from before'])
  const file = `${server.directory}/${ROOM}.bin`
  await writeFile(file, encodeStateAsUpdate(doc))
  const { code, lines } = await moveIn(server, ['--from', 'update-file', file])
  assert.deepEqual([code, lines[ROOM].became], [0, 'made'])
  return server
}

/** A program for Node, beside the packages, with the packages that it names under the names that they have here. */
async function script (t, server, program, packages = {}) {
  const directory = new URL(`../node_modules/.guide-${process.pid}-${Object.values(packages).join('-').replaceAll('/', '_')}/`, import.meta.url)
  await mkdir(directory, { recursive: true })
  t.after(() => rm(directory, { recursive: true, force: true }))
  for (const [name, here] of Object.entries(packages)) {
    assert.ok(program.includes(`'${name}'`), `it imports ${name}`)
    program = program.replace(`'${name}'`, `'${here}'`)
  }
  const file = fileURLToPath(new URL('guide.mjs', directory))
  await writeFile(file, program.replaceAll(ADDRESS, `127.0.0.1:${server.port}`))
  return [process.execPath, file]
}

test('[O78] the guide for y-websocket runs, with 1.5, 2.1 and 3.1', async (t) => {
  const server = await moved(t)
  const program = await guide('y-websocket', 'js')
  for (const version of ['y-websocket-1', 'y-websocket-2', 'y-websocket']) {
    await walk(t, server, 'y-websocket', await script(t, server, program, { 'y-websocket': version }), version)
  }
})

test('[O78] the guide for Yjs 14 runs', async (t) => {
  const server = await moved(t)
  await walk(t, server, 'Yjs 14', await script(t, server, await guide('Yjs 14', 'js'), { '@y/websocket': '@y/websocket' }))
})

test('[O78] the guide for Hocuspocus runs, with 2.15, 3.4 and 4.8', async (t) => {
  const server = await moved(t)
  const program = await guide('Hocuspocus', 'js')
  for (const version of ['hocuspocus2', 'hocuspocus3', 'hocuspocus4']) {
    await walk(t, server, 'Hocuspocus', await script(t, server, program, { '@hocuspocus/provider': version }), version)
  }
})

test('[O78] the guide for y-sweet runs', async (t) => {
  const server = await moved(t)
  await walk(t, server, 'y-sweet', await script(t, server, await guide('y-sweet', 'js'), { '@y-sweet/client': '@y-sweet/client' }))
})

test('[O78] the guide for pycrdt runs', async (t) => {
  const server = await moved(t)
  const file = `${server.directory}/guide.py`
  await writeFile(file, (await guide('pycrdt', 'python')).replaceAll(ADDRESS, `127.0.0.1:${server.port}`))
  await walk(t, server, 'pycrdt', [python, file])
})

test('[O78] the guide for yrs is the program that runs', async (t) => {
  const server = await moved(t)
  assert.equal(await guide('yrs', 'rust'), await readFile(path('./yrs.rs'), 'utf8'))
  assert.ok(existsSync(yrs), `${yrs} is not there: cargo build --example guide-yrs`)
  await walk(t, server, 'yrs', [yrs, `${server.ws}/${ROOM}`])
})
