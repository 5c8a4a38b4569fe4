// Where a room is, by the address of its server.

import { RuangError } from './errors.js'

/** Bytes of a room's name, at most: the server's own bound. */
const ROOM_BYTES_MAX = 128

/** The addresses of one room on one server. */
export interface Address {
  /** Of the WebSocket. */
  socket: string
  /** Of the room in the HTTP API. */
  api: string
  /** The server, as the local copy is filed under it. */
  server: string
}

/**
 * The addresses of `room` on the server at `url`: `https://host`, `wss://host`, with or without a path in front, and
 * with or without the `/ws` that y-websocket wants.
 *
 * @throws {RuangError} `bad-option` if one of both cannot be.
 */
export function address (url: string, room: string): Address {
  checkRoom(room)
  let parsed: URL
  try {
    parsed = new URL(url, typeof location === 'undefined' ? undefined : location.href)
  } catch (cause) {
    throw new RuangError('bad-option', `url: ${JSON.stringify(url)} is no address`, { cause })
  }
  const secure = /^(https|wss):$/.test(parsed.protocol)
  if (!secure && !/^(http|ws):$/.test(parsed.protocol)) {
    throw new RuangError('bad-option', `url: ${parsed.protocol} is none of https, http, wss, ws`)
  }
  const base = parsed.host + parsed.pathname.replace(/\/+$/, '').replace(/\/ws$/, '')
  const path = room.split('/').map(encodeURIComponent).join('/')
  return {
    socket: `${secure ? 'wss' : 'ws'}://${base}/ws/${path}`,
    api: `${secure ? 'https' : 'http'}://${base}/api/v1/rooms/${encodeURIComponent(room)}`,
    server: base
  }
}

/** @throws {RuangError} `bad-option` if no room can have this name. */
export function checkRoom (room: string): void {
  const bytes = new TextEncoder().encode(room).length
  // A part that is `.` or `..` is resolved by every browser before it is sent.
  const dots = room.split('/').some((part) => part === '.' || part === '..')
  if (bytes === 0 || bytes > ROOM_BYTES_MAX || /[\u0000-\u001f\u007f-\u009f]/.test(room) || dots) {
    throw new RuangError('bad-option', `room: a name is 1 to ${ROOM_BYTES_MAX} bytes without control characters`)
  }
}
