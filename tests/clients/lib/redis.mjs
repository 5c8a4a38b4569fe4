// A real Redis, as a process of its own, and a balancer in front of several servers.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './wait.mjs'
import { freePort } from './server.mjs'

export class Redis {
  /** A Redis with an append-only file that is synced before each answer; ended with the test. */
  static async start (t) {
    const redis = new Redis()
    redis.directory = await mkdtemp(join(tmpdir(), 'ruang-redis-'))
    redis.port = await freePort()
    t.after(async () => {
      await redis.kill()
      await rm(redis.directory, { recursive: true, force: true })
    })
    await redis.startAgain()
    return redis
  }

  get store () { return `redis://127.0.0.1:${this.port}` }

  async startAgain () {
    this.process = spawn('redis-server', [
      '--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.directory, '--save', '',
      '--appendonly', 'yes', '--appendfsync', 'always'
    ], { stdio: 'ignore' })
    await eventually('Redis answers', () => this.ask('PING').then((answer) => answer === '+PONG', () => false))
  }

  /** One command of plain words; the first line of the answer. */
  ask (command) {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write(`${command}\r\n`))
      socket.once('data', (data) => { socket.destroy(); resolve(data.toString().split('\r\n')[0]) })
      socket.once('error', reject)
    })
  }

  /** Stops it in the middle of whatever it does; it answers nobody until `thaw`. */
  freeze () { this.process.kill('SIGSTOP') }
  thaw () { this.process.kill('SIGCONT') }

  async kill () {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGKILL')
    await ended
  }
}

/**
 * Passes connections on to servers in turn, to those that take them, as a balancer without sticky sessions
 * does. Looks like one server to clients.
 */
export class Balancer {
  static async start (t, servers) {
    const balancer = new Balancer()
    balancer.sockets = new Set()
    let turn = 0
    const passOn = (client, tries) => {
      const server = servers[turn++ % servers.length]
      const upstream = connect(server.port, '127.0.0.1', () => {
        client.pipe(upstream).pipe(client)
      })
      upstream.once('error', () => tries > 1 ? passOn(client, tries - 1) : client.destroy())
      client.once('close', () => upstream.destroy())
      client.on('error', () => upstream.destroy())
    }
    balancer.listener = createServer((client) => {
      balancer.sockets.add(client)
      client.once('close', () => balancer.sockets.delete(client))
      passOn(client, servers.length)
    })
    await new Promise((resolve) => balancer.listener.listen(0, '127.0.0.1', resolve))
    balancer.port = balancer.listener.address().port
    t.after(() => { balancer.listener.close(); balancer.cutAll() })
    return balancer
  }

  get ws () { return `ws://127.0.0.1:${this.port}/ws` }

  /** Every connection breaks; clients come back, as a rule by another server. */
  cutAll () { for (const socket of this.sockets) socket.destroy() }
}
