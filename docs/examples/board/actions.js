// What is to be done.
import * as Y from 'yjs'
import { newId } from './keys.js'

export function acting (doc) {
  const actions = doc.getMap('actionItems')
  return {
    addAction: (text) => actions.set(newId(), new Y.Map([['text', text], ['done', false], ['order', Date.now()]])),
    setDone: (id, done) => actions.get(id)?.set('done', done),
    deleteAction: (id) => actions.delete(id)
  }
}
