// Addresses, tokens' claims, lives.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address } from '../../dist/address.js'
import { claims } from '../../dist/claims.js'
import { areOneLife } from '../../dist/tabs.js'
import { Tokens } from '../../dist/tokens.js'
import { sign } from '../../../../tests/clients/lib/tokens.mjs'

test('[C20] a server\'s address is taken in each of its forms, and a room\'s name is percent-encoded by part', () => {
  const of = (url) => address(url, 'team a/retro?#é').socket
  const path = '/ws/team%20a/retro%3F%23%C3%A9'
  assert.equal(of('https://boards.example'), `wss://boards.example${path}`)
  assert.equal(of('wss://boards.example/'), `wss://boards.example${path}`)
  assert.equal(of('ws://127.0.0.1:8080/ws'), `ws://127.0.0.1:8080${path}`)
  assert.equal(of('http://127.0.0.1:8080/base/'), `ws://127.0.0.1:8080/base${path}`)
  assert.equal(address('http://h/base', 'a/b').api, 'http://h/base/api/v1/rooms/a%2Fb')
})

test('[C20] an address and a name that cannot be are refused at once, with a code', () => {
  const refused = (url, room) => assert.throws(() => address(url, room), { name: 'RuangError', code: 'bad-option' }, `${url} ${room}`)
  refused('ftp://h', 'a')
  refused('nothing', 'a')
  for (const room of ['', 'x'.repeat(129), 'é'.repeat(65), 'a\nb', '..', 'a/../b', '.']) refused('https://h', room)
})

test('[C26] a token\'s claims are read, whatever it is, and a token of another person is not taken', async () => {
  assert.equal(claims(sign({ sub: 'Zoë 🦊', role: 'facilitator' })).user, 'Zoë 🦊')
  for (const none of [undefined, '', 'a.b.c', 'x', 'a.e30.c', `a.${btoa('[1]')}.c`, `a.${btoa('null')}.c`]) assert.equal(claims(none).user, undefined)
  let asked = []
  const tokens = new Tokens(undefined, (request) => { asked.push(request); return sign({ sub: 'ana' }) }, () => Date.now())
  assert.equal(tokens.who('ana').role, 'editor', 'nothing is known yet')
  const first = await tokens.take('room', undefined, undefined)
  assert.equal(await tokens.take('room', undefined, 'ana'), first, 'one that counts is used again')
  await tokens.take('room', first, 'ana')
  assert.deepEqual(asked, [{ room: 'room', refused: undefined }, { room: 'room', refused: first }])
  assert.deepEqual(tokens.who('ana'), { user: 'ana', identified: true, role: 'editor' })
  await assert.rejects(tokens.take('room', 'x', 'ben'), { code: 'token' })
})

test('[C26] who has no token may do all where the server asks for none, and a token without a role is a viewer\'s', async () => {
  assert.deepEqual(new Tokens(undefined, undefined, Date.now).who('x'), { user: 'x', identified: false, role: 'admin' })
  const none = new Tokens(undefined, async () => undefined, Date.now)
  await none.take('room', undefined, undefined)
  assert.equal(none.who('x').role, 'admin')
  assert.equal(new Tokens(sign({ role: null }), undefined, Date.now).who('x').role, 'viewer')
  assert.equal(new Tokens(sign({ role: 'king' }), undefined, Date.now).who('x').role, 'viewer')
})

test('[C28] copies are put together only if one is of all the lives that the other is of', () => {
  assert.equal(areOneLife([], ['1']), true)
  assert.equal(areOneLife(['1'], ['1', '2']), true)
  assert.equal(areOneLife(['1', '2'], ['2', '1']), true)
  assert.equal(areOneLife(['1'], ['2']), false)
  assert.equal(areOneLife(['1', '2'], ['1', '3']), false)
})
