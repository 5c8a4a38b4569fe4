// What a person does on a board of docs/BOARD.md. Each edit is one transaction.
import * as Y from 'yjs'

export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('')
export const voteKey = (user, target) => `${user.replaceAll('%', '%25').replaceAll('/', '%2F')}/${target}`

/** The edits of `user`: the one that the token names, or a name that the page has made up. */
export function edits (doc, user) {
  const [items, positions, groupOf, groups, votes, actions] =
    ['items', 'itemPositions', 'itemGroups', 'groups', 'votes', 'actionItems'].map((root) => doc.getMap(root))
  const make = (map, fields, id = newId()) => { map.set(id, new Y.Map(Object.entries(fields))); return id }
  const one = (edit) => (...values) => doc.transact(() => edit(...values))
  return {
    // A template is an update that is the same bytes for ever: applied by two people at once it is there once.
    begin: (template) => { if (doc.getMap('meta').size === 0) Y.applyUpdate(doc, template, 'template') },
    addCard: one((text, column) => make(items, { text, column, author: user, createdAt: Date.now() })),
    setText: one((id, text) => items.get(id)?.set('text', text)),
    moveCard: one((id, position, column) => {
      if (!items.has(id)) return // somebody has deleted it meanwhile
      positions.set(id, position)
      if (column !== undefined && column !== items.get(id).get('column')) items.get(id).set('column', column)
    }),
    deleteCard: one((id) => [items, positions, groupOf].forEach((map) => map.delete(id))),
    groupWith: one((id, other) => {
      if (!items.has(id) || !items.has(other)) return
      const group = groups.has(groupOf.get(other)) ? groupOf.get(other) : make(groups, { title: '' })
      for (const card of [id, other]) groupOf.set(card, group)
    }),
    ungroup: one((id) => groupOf.delete(id)),
    setGroupTitle: one((id, title) => groups.get(id)?.set('title', title)),
    vote: one((target, count) => count > 0 ? votes.set(voteKey(user, target), count) : votes.delete(voteKey(user, target))),
    addAction: one((text) => make(actions, { text, done: false, order: Date.now() })),
    setDone: one((id, done) => actions.get(id)?.set('done', done)),
    deleteAction: one((id) => actions.delete(id))
  }
}

/** Takes back one's own edits, one at a time, and nobody else's; neither the template nor the facilitator's settings. */
export const history = (doc) => new Y.UndoManager(
  ['items', 'itemPositions', 'itemGroups', 'groups', 'votes', 'actionItems', 'signatureColors'].map((root) => doc.getMap(root)),
  { captureTimeout: 0 })
