// Random edits of Yjs 13: every shared type, nested ones, formats, embeds, undo.

import * as Y from 'yjs'

const KEYS = ['a', 'b', 'c', 'd', 'e']
const WORDS = ['x', 'word ', 'äöü', '😀', '\n', 'some longer text ', '日本', 'é́']

const value = (random) => random.pick([
  () => random.below(1000), () => -random.below(2 ** 31), () => random.next(), () => random.pick(WORDS), () => null, () => true,
  () => ({ x: random.below(9), y: [1, { z: 'deep' }] }), () => [], () => random.bytes(random.below(20)), () => 2 ** 40
])()

function nested (random) {
  return random.pick([
    () => new Y.Map([['n', random.below(9)]]),
    () => Y.Array.from([1, 'two']),
    () => { const text = new Y.Text('nested'); text.format(0, 3, { bold: true }); return text },
    () => { const element = new Y.XmlElement('div'); element.insert(0, [new Y.XmlText('in')]); return element }
  ])()
}

const ATTRIBUTES = [{ bold: true }, { bold: null }, { italic: true }, { italic: null, bold: true }, { link: { href: 'https://example.org' } }, { color: 'red' }, { color: 'blue' }]

function editMap (map, random) {
  const key = random.pick(KEYS)
  if (random.chance(0.2)) map.delete(key)
  else if (random.chance(0.05)) map.set(key, undefined) // a value of its own in Yjs, in maps only
  else map.set(key, random.chance(0.15) ? nested(random) : value(random))
}

function editList (list, random) {
  if (list.length > 0 && random.chance(0.4)) {
    const at = random.below(list.length)
    list.delete(at, 1 + random.below(Math.min(3, list.length - at)))
  } else {
    const many = Array.from({ length: 1 + random.below(3) }, () => random.chance(0.1) ? nested(random) : value(random))
    list.insert(random.below(list.length + 1), many)
  }
}

function editText (text, random) {
  const at = random.below(text.length + 1)
  const length = random.below(Math.min(8, text.length - at) + 1)
  random.pick([
    () => text.insert(at, random.pick(WORDS)),
    () => text.insert(at, random.pick(WORDS), random.pick(ATTRIBUTES)),
    () => text.insertEmbed(at, random.pick([{ image: 'a.png' }, { rule: true, nested: [1] }])),
    () => length > 0 && text.delete(at, length),
    () => length > 0 && text.format(at, length, random.pick(ATTRIBUTES)),
    () => text.applyDelta([{ retain: at }, { insert: 'Δ', attributes: { bold: true } }])
  ])()
}

function editXml (fragment, random) {
  const child = fragment.length > 0 ? fragment.get(random.below(fragment.length)) : undefined
  if (child instanceof Y.XmlElement && random.chance(0.7)) {
    random.pick([
      () => child.setAttribute(random.pick(KEYS), `${random.below(99)}`),
      () => child.removeAttribute(random.pick(KEYS)),
      () => editXml(child, random)
    ])()
  } else if (child instanceof Y.XmlText && random.chance(0.7)) {
    editText(child, random)
  } else if (fragment.length > 3 && random.chance(0.5)) {
    fragment.delete(random.below(fragment.length), 1)
  } else {
    fragment.insert(random.below(fragment.length + 1), [random.chance(0.5) ? new Y.XmlElement(random.pick(['p', 'h1'])) : new Y.XmlText('text')])
  }
}

function editNested (doc, random) {
  const types = [...doc.getMap('map').values(), ...doc.getArray('array').toArray()].filter((value) => value instanceof Y.AbstractType)
  if (types.length > 0) edit(random.pick(types), random)
}

function edit (type, random) {
  if (type instanceof Y.Map) editMap(type, random)
  else if (type instanceof Y.Array) editList(type, random)
  else if (type instanceof Y.XmlText || type instanceof Y.Text) editText(type, random)
  else if (type instanceof Y.XmlFragment) editXml(type, random)
}

/** The shared types of a document as its application declares them; needed before anything arrives. */
export function declare (doc) {
  return [doc.getMap('map'), doc.getArray('array'), doc.getText('text'), doc.getXmlFragment('xml')]
}

export const undoManager = (doc) => new Y.UndoManager(declare(doc), { captureTimeout: 0 })

/** One edit, or a few in one transaction, or an undo. */
export function randomEdit (doc, undo, random) {
  const one = () => random.chance(0.15) ? editNested(doc, random) : edit(random.pick(declare(doc)), random)
  if (random.chance(0.08)) return undo.undo()
  if (random.chance(0.04)) return undo.redo()
  if (random.chance(0.2)) return doc.transact(() => { for (let n = 0; n < 4; n++) one() })
  one()
}

/** A drag while offline: one key, set again and again. */
export function drag (doc, times, random) {
  for (let n = 0; n < times; n++) doc.getMap('map').set('dragged', { x: n, y: random.below(1000) })
}
