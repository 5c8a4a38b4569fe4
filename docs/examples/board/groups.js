// Groups of cards. Both cards of a new group come in one transaction with it.
import * as Y from 'yjs'
import { newId } from './keys.js'

export function grouping (doc) {
  const [items, groupOf, groups] = ['items', 'itemGroups', 'groups'].map((root) => doc.getMap(root))
  const make = () => { const id = newId(); groups.set(id, new Y.Map([['title', '']])); return id }
  return {
    groupWith: (id, other) => doc.transact(() => {
      if (!items.has(id) || !items.has(other)) return
      const group = groups.has(groupOf.get(other)) ? groupOf.get(other) : make()
      for (const card of [id, other]) groupOf.set(card, group)
    }),
    ungroup: (id) => groupOf.delete(id),
    setGroupTitle: (id, title) => groups.get(id)?.set('title', title)
  }
}
