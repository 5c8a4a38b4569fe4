// `ruang replay import` into the store of a server that runs.

import { spawn } from 'node:child_process'
import { binary } from './server.mjs'

/** Its exit code, its lines by document (the summary under ''), and what it says besides. */
export async function moveIn (server, args) {
  const child = spawn(binary, ['replay', 'import', ...args, '--store', server.store, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, notes] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text) => { out += text })
  child.stderr.setEncoding('utf8').on('data', (text) => { notes += text })
  const code = await new Promise((resolve) => child.once('close', resolve))
  const lines = out.split('\n').filter(Boolean).map(JSON.parse)
  return { code, notes, lines: Object.fromEntries(lines.map((line) => [line.document ?? '', line])) }
}
