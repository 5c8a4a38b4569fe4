// Real proxies, each a process of its own with exactly the configuration that docs/OPERATIONS.md gives, but for ports.

import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './server.mjs'
import { eventually } from './wait.mjs'

const operations = new URL('../../../docs/OPERATIONS.md', import.meta.url)

/** The block of that language in docs/OPERATIONS.md; there is one. */
export async function snippet (language) {
  const blocks = (await readFile(operations, 'utf8')).split(`\`\`\`${language}\n`).slice(1)
  if (blocks.length !== 1) throw new Error(`${blocks.length} blocks of ${language} in docs/OPERATIONS.md`)
  return blocks[0].split('\n```')[0]
}

/** Replaces what stands there once, so that the test fails if the docs change under it. */
function replace (text, from, to) {
  if (text.split(from).length !== 2) throw new Error(`${JSON.stringify(from)} does not stand there once:\n${text}`)
  return text.replace(from, to)
}

const KINDS = {
  nginx: {
    async command (directory, text) {
      // A server of its own, without the system's settings.
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${directory}/${kind};`)
      const file = join(directory, 'nginx.conf')
      await writeFile(file, `daemon off; master_process off; pid ${directory}/pid; error_log stderr;
        events {} http { access_log off; ${temporary.join(' ')}\n${text}\n}`)
      return ['nginx', ['-p', directory, '-c', file]]
    },
    adapt: (text, port, upstream) => replace(replace(replace(text, 'listen 80;', `listen 127.0.0.1:${port};`),
      'http://127.0.0.1:8080;', `http://127.0.0.1:${upstream};`), 'proxy_read_timeout 60s;', 'proxy_read_timeout 22s;')
  },
  caddy: {
    async command (directory, text) {
      const file = join(directory, 'Caddyfile')
      await writeFile(file, `{\n  admin off\n}\n${text}\n`)
      return ['caddy', ['run', '--config', file, '--adapter', 'caddyfile']]
    },
    adapt: (text, port, upstream) => replace(replace(text, 'board.example.com {', `http://127.0.0.1:${port} {`),
      'reverse_proxy 127.0.0.1:8080 {', `reverse_proxy 127.0.0.1:${upstream} {`)
  }
}

export class Proxy {
  /** A proxy in front of `server`, ended with the test. What clients see is like a server. */
  static async start (t, kind, server) {
    const proxy = new Proxy()
    proxy.port = await freePort()
    const directory = await mkdtemp(join(tmpdir(), `ruang-${kind}-`))
    const { command, adapt } = KINDS[kind]
    const text = adapt(await snippet(kind === 'caddy' ? 'caddyfile' : kind), proxy.port, server.port)
    const [program, args] = await command(directory, text)
    const lines = []
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory }
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
    let failed
    child.once('error', (error) => { failed = error })
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (some) => lines.push(some))
    t.after(async () => {
      if (child.exitCode === null && child.signalCode === null && !failed) {
        const ended = new Promise((resolve) => child.once('exit', resolve))
        child.kill('SIGKILL')
        await ended
      }
      await rm(directory, { recursive: true, force: true })
    })
    await eventually(`${kind} answers`, async () => {
      if (failed || child.exitCode !== null) return true
      return (await fetch(`${proxy.http}/healthz`)).status === 200
    }, { detail: () => lines.slice(-5).join('') })
    if (failed || child.exitCode !== null) throw new Error(`${kind} did not start: ${failed?.message ?? ''} ${lines.join('')}`)
    return proxy
  }

  get http () { return `http://127.0.0.1:${this.port}/ruang` }
  /** What y-websocket takes as its server address. */
  get ws () { return `ws://127.0.0.1:${this.port}/ruang/ws` }
}
