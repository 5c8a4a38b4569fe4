// Random edits of a board: right ones, odd ones, those of a newer schema, and those that are not everybody's to make.

import * as Y from 'yjs'

const KEYS = ['a', 'b', '10', '9', 'ann/a', 'bob/b', 'a%2Fb/a', 'phase', 'columns', 'voteLimit', 'hideCards', 'title']
const ROOTS = ['meta', 'items', 'itemPositions', 'itemGroups', 'groups', 'signatureColors', 'votes', 'actionItems']
const FIELDS = ['text', 'column', 'author', 'createdAt', 'title', 'order', 'done', 'assignee', 'due', 'later']

/** What may stand anywhere on a board: right, odd, or of a newer schema. */
function value (random) {
  return random.pick([
    '', 'well', '🙂 مرحبا', 'line\nbreak', '#336699', '#12', 0, 1, -1, 3.5, 1e20, true, null, [], [1, { id: 'a', title: 't' }],
    { x: 1.005, y: -2 }, { x: 'a', y: 1 }, [{ id: 'a', title: 'A' }, { id: 'a', title: 'B' }, { id: 'b' }], { text: 'plain', author: 'ann' }
  ])
}

export function scribble (random, doc) {
  const key = random.pick(KEYS)
  const root = random.pick(ROOTS)
  const map = doc.getMap(root)
  if (['items', 'groups', 'actionItems'].includes(root) && random.below(4) > 0) {
    if (!(map.get(key) instanceof Y.Map)) map.set(key, new Y.Map())
    const field = random.pick(FIELDS)
    if (field === 'text' && root !== 'groups' && random.below(3) === 0) return map.get(key).set(field, new Y.Text('shared'))
    return map.get(key).set(field, value(random))
  }
  if (random.below(6) === 0) return map.delete(key)
  map.set(key, value(random))
}
