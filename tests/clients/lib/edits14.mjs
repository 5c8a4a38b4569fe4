// Random edits of Yjs 14, where one type is map, list, text and element at once.
//
// Formats are given with inserts only: concurrent formats of ranges make 14.0.0-rc.7 diverge by itself
// (11 of 40 random histories, documents synchronised directly, no server).

import * as Y from '@y/y'

const KEYS = ['a', 'b', 'c', 'd', 'e']
const WORDS = ['x', 'word ', 'äöü', '😀', '\n', 'some longer text ']
const ROOTS = ['map', 'array', 'text', 'xml']
const FORMATS = [{ bold: true }, { bold: null }, { italic: true }, { color: 'red' }]

const value = (random) => random.pick([
  () => random.below(1000), () => random.next(), () => random.pick(WORDS), () => null, () => ({ x: random.below(9), y: [1] }), () => random.bytes(5)
])()

function nested (random) {
  const type = new Y.Type(random.chance(0.5) ? 'p' : null)
  type.setAttr('n', random.below(9))
  type.insert(0, 'inner')
  return type
}

function edit (type, random) {
  const at = random.below(type.length + 1)
  const length = random.below(Math.min(5, type.length - at) + 1)
  random.pick([
    () => type.setAttr(random.pick(KEYS), random.chance(0.1) ? nested(random) : value(random)),
    () => type.deleteAttr(random.pick(KEYS)),
    () => type.insert(at, random.pick(WORDS)),
    () => type.insert(at, random.pick(WORDS), random.pick(FORMATS)),
    () => type.insert(at, [random.chance(0.3) ? nested(random) : value(random)]),
    () => length > 0 && type.delete(at, length)
  ])()
}

export const declare = (doc) => ROOTS.map((name) => doc.get(name))

export const undoManager = (doc) => new Y.UndoManager(declare(doc), { captureTimeout: 0 })

export function randomEdit (doc, undo, random) {
  const one = () => {
    const root = random.pick(declare(doc))
    const children = root.toArray().filter((child) => child instanceof Y.Type)
    edit(children.length > 0 && random.chance(0.2) ? random.pick(children) : root, random)
  }
  if (random.chance(0.06)) return undo.undo()
  if (random.chance(0.03)) return undo.redo()
  if (random.chance(0.2)) return doc.transact(() => { for (let n = 0; n < 4; n++) one() })
  one()
}

export function drag (doc, times, random) {
  for (let n = 0; n < times; n++) doc.get('map').setAttr('dragged', { x: n, y: random.below(1000) })
}

/** Everything a reader can see, as text. */
export const content = (doc) => JSON.stringify(declare(doc).map((type) => type.toJSON()), (_key, value) =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
    : value)

/** Why two documents differ, or null. */
export function difference (a, b) {
  const vector = (doc) => [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(([x], [y]) => x - y).join(' ')
  if (content(a) !== content(b)) return `content: ${content(a).slice(0, 300)} against ${content(b).slice(0, 300)}`
  if (vector(a) !== vector(b)) return 'state vectors'
  return null
}
