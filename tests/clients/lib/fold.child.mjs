// Yjs 13 for the fuzz target `gate`: folds updates, and says whether that is the document that the server hands out.
//
// In: a number of parts, then for each its length and its bytes; numbers have four bytes, little endian. The first part is
// the document, the others are the updates. Out: a line, `same` or what differs.

import { readSync, writeSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import * as Y from 'yjs'

function read (bytes) {
  const into = Buffer.alloc(bytes)
  for (let at = 0; at < bytes;) {
    let some
    try { some = readSync(0, into, at, bytes - at, null) } catch (error) {
      if (error.code === 'EAGAIN') continue
      throw error
    }
    if (some === 0) process.exit(0)
    at += some
  }
  return into
}

/** What readers see of a shared type, whatever it is: elements in their order with the formats in force, and entries. */
function visible (type) {
  const list = []
  const formats = new Map()
  for (let item = type._start; item !== null; item = item.right) {
    if (item.deleted) continue
    if (item.content instanceof Y.ContentFormat) {
      if (item.content.value === null) formats.delete(item.content.key)
      else formats.set(item.content.key, plain(item.content.value))
      continue
    }
    const shown = formats.size === 0 ? [] : [...formats].sort(([a], [b]) => a < b ? -1 : 1)
    list.push(...values(item.content).map((value) => [value, shown]))
  }
  const entries = [...type._map].filter(([, item]) => !item.deleted).sort(([a], [b]) => a < b ? -1 : 1)
  return { kind: type.constructor.name, name: type.nodeName, list, entries: entries.map(([key, item]) => [key, values(item.content).at(-1)]) }
}

const values = (content) => content instanceof Y.ContentType ? [visible(content.type)] : content.getContent().map(plain)

/** The engine hands a BigInt out as a number where that is exact, and -0 as 0: docs/PROTOCOL.md says so. */
function plain (value) {
  if (value === 0) return 0
  if (typeof value === 'bigint') return BigInt(Number(value)) === value || value === 2n ** 63n - 1n ? Number(value) : value
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

function fold (updates) {
  const doc = new Y.Doc()
  for (const update of updates) Y.applyUpdate(doc, update)
  if (doc.store.pendingStructs !== null || doc.store.pendingDs !== null) return 'Yjs waits for something'
  const clocks = [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(([a], [b]) => a - b)
  const roots = [...doc.share].map(([name, type]) => [name, visible(type)])
  // A root of which nothing is to be seen need not be there.
  const seen = roots.filter(([, { list, entries }]) => list.length + entries.length > 0).sort(([a], [b]) => a < b ? -1 : 1)
  return { clocks, seen }
}

for (;;) {
  const count = read(4).readUInt32LE()
  const parts = Array.from({ length: count }, () => new Uint8Array(read(read(4).readUInt32LE())))
  let answer = 'same'
  try {
    const [handedOut, folded] = [fold(parts.slice(0, 1)), fold(parts.slice(1))]
    if (typeof folded === 'string') answer = folded
    else if (typeof handedOut === 'string') answer = `${handedOut} in what is handed out`
    else if (!isDeepStrictEqual(handedOut, folded)) {
      const text = (value) => JSON.stringify(value, (_, inner) => typeof inner === 'bigint' ? `${inner}n` : inner)
      answer = `folded ${text(folded)}, handed out ${text(handedOut)}`
    }
  } catch (error) {
    answer = `fails: ${String(error.stack).replaceAll('\n', ' ')}`
  }
  writeSync(1, answer + '\n')
}
