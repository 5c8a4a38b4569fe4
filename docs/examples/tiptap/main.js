import { Editor } from '@tiptap/core'
import { Collaboration } from '@tiptap/extension-collaboration'
import { CollaborationCaret } from '@tiptap/extension-collaboration-caret'
import { StarterKit } from '@tiptap/starter-kit'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

// How the page is opened: #room=minutes&user=Ana&server=wss://example.com/ws&token=…
const { server = 'ws://127.0.0.1:8080/ws', room = 'tiptap', user = 'Guest', token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)))
const COLORS = ['#1565c0', '#2e7d32', '#ad4e00', '#6a1b9a', '#c62828', '#00697a']
const color = COLORS[Array.from(user).reduce((sum, sign) => sum + sign.codePointAt(0), 0) % COLORS.length]

const doc = new Y.Doc()
const provider = new WebsocketProvider(server, room, doc, { protocols: token ? [`bearer.${token}`] : [] })
const editor = new Editor({
  element: document.querySelector('#editor'),
  textDirection: 'auto', // each paragraph as its own text asks for
  extensions: [
    StarterKit.configure({ undoRedo: false }), // Collaboration has its own, which takes back nobody else's edits
    Collaboration.configure({ document: doc }),
    CollaborationCaret.configure({ provider, user: { name: user, color } })
  ]
})

for (const button of document.querySelectorAll('[data-do]')) button.onclick = () => editor.chain().focus()[button.dataset.do]().run()
const status = document.querySelector('#status')
provider.on('status', (now) => { status.textContent = status.className = now.status })
provider.on('closed', ({ reason }) => { status.textContent = `closed: ${reason}` })
provider.awareness.on('change', () => {
  const names = [...provider.awareness.getStates().values()].map((state) => state.user?.name).filter(Boolean)
  document.querySelector('#people').textContent = names.sort().join(', ')
})
addEventListener('hashchange', () => location.reload())
// Without these it takes the provider 30 s to notice that the network is gone. Who comes back says it again, so that it is news.
addEventListener('offline', () => provider.disconnect())
addEventListener('online', () => { provider.connect(); provider.awareness.setLocalState(provider.awareness.getLocalState()) })
// It takes nobody back who was removed and has nothing new to say: let it forget when it heard of them.
provider.awareness.on('update', ({ removed }) => removed.forEach((id) => id !== provider.awareness.clientID && provider.awareness.meta.delete(id)))
