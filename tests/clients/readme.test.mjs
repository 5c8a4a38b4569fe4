// The README's example, as it stands there, run by Node against the real server.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { Server } from './lib/server.mjs'
import { eventually } from './lib/wait.mjs'

test('[S3] the example in README.md runs: two processes share notes, and a restart keeps them', async (t) => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
  const [, example] = /```js\n([\s\S]*?)```/.exec(readme)
  const address = 'ws://127.0.0.1:8080/ws'
  assert.ok(example.includes(address))
  assert.ok(example.trim().split('\n').length <= 17, 'it is short')
  const server = await Server.start(t)
  // Beside the packages, since that is where Node looks for them.
  const directory = new URL(`./node_modules/.readme-${process.pid}/`, import.meta.url)
  await mkdir(directory, { recursive: true })
  t.after(() => rm(directory, { recursive: true, force: true }))
  const file = new URL('hello.mjs', directory)
  await writeFile(file, example.replace(address, server.ws))
  const run = () => {
    const child = spawn(process.execPath, [fileURLToPath(file)], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => child.kill('SIGKILL'))
    const result = { pid: child.pid, text: '', end: () => child.kill('SIGKILL') }
    child.stdout.setEncoding('utf8').on('data', (text) => { result.text += text })
    return result
  }
  const one = run()
  await eventually('the first writes its note', () => one.text.includes(`hello from ${one.pid}`))
  const two = run()
  await eventually('both see both', () => [one, two].every(({ text }) =>
    text.includes(`hello from ${one.pid}`) && text.includes(`hello from ${two.pid}`)))
  one.end()
  two.end()
  await server.kill()
  await server.startAgain()
  const three = run()
  await eventually('the third sees all', () => [one, two, three].every(({ pid }) => three.text.includes(`hello from ${pid}`)))
})
