// Tokens, made by hand as an application's back end makes them.

import { createHmac } from 'node:crypto'

export const SECRET = 'a secret that these tests share with their servers'

/** A token for a room, signed as the server expects it. */
export function sign ({ sub = 'ana', room = 'board', role = 'editor', seconds = 60, secret = SECRET, ...more } = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub, room, role, iat: now - 5, exp: now + seconds, ...more })}`
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`
}
