// What a person does on a board of docs/BOARD.md, each edit one transaction. groups.js and actions.js have the rest.
import * as Y from 'yjs'
import { newId, voteKey } from './keys.js'

/** The edits of `user`: the one that the token names, or a name that the page has made up. */
export function edits (doc, user) {
  const [meta, items, positions, groupOf, votes] =
    ['meta', 'items', 'itemPositions', 'itemGroups', 'votes'].map((root) => doc.getMap(root))
  const one = (edit) => (...values) => doc.transact(() => edit(...values))
  return {
    // A template is an update that is the same bytes for ever: applied by two people at once it is there once.
    begin: (template) => { if (meta.size === 0) Y.applyUpdate(doc, template, 'template') },
    addCard: one((text, column) => items.set(newId(), new Y.Map([
      ['text', text], ['column', column], ['author', user], ['createdAt', Date.now()]]))),
    setText: one((id, text) => items.get(id)?.set('text', text)),
    moveCard: one((id, position, column) => {
      if (!items.has(id)) return // somebody has deleted it meanwhile
      positions.set(id, position)
      if (column !== undefined && column !== items.get(id).get('column')) items.get(id).set('column', column)
    }),
    deleteCard: one((id) => [items, positions, groupOf].forEach((map) => map.delete(id))),
    vote: one((target, count) => count > 0 ? votes.set(voteKey(user, target), count) : votes.delete(voteKey(user, target)))
  }
}

/** Takes back one's own edits, one at a time, and nobody else's; neither the template nor the facilitator's settings. */
export const history = (doc) => new Y.UndoManager(
  ['items', 'itemPositions', 'itemGroups', 'groups', 'votes', 'actionItems', 'signatureColors'].map((root) => doc.getMap(root)),
  { captureTimeout: 0 })
