import { Editor } from '@tiptap/core'
import { Collaboration } from '@tiptap/extension-collaboration'
import { CollaborationCaret } from '@tiptap/extension-collaboration-caret'
import { StarterKit } from '@tiptap/starter-kit'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { colorOf, furnish } from './page.js'

// How the page is opened: #room=minutes&user=Ana&server=wss://example.com/ws&token=…
const options = Object.fromEntries(new URLSearchParams(location.hash.slice(1)))
const { server = 'ws://127.0.0.1:8080/ws', room = 'tiptap', user = 'Guest', token } = options

const doc = new Y.Doc()
const provider = new WebsocketProvider(server, room, doc, { protocols: token ? [`bearer.${token}`] : [] })
const editor = new Editor({
  element: document.querySelector('#editor'),
  textDirection: 'auto', // each paragraph as its own text asks for
  extensions: [
    StarterKit.configure({ undoRedo: false }), // Collaboration has its own, which takes back nobody else's edits
    Collaboration.configure({ document: doc }),
    CollaborationCaret.configure({ provider, user: { name: user, color: colorOf(user) } })
  ]
})
furnish(provider, editor)
