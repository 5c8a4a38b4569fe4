// Each line from left to right or from right to left, as its own text asks for.
import { RangeSetBuilder } from '@codemirror/state'
import { Decoration, EditorView, ViewPlugin } from '@codemirror/view'

const auto = Decoration.line({ attributes: { dir: 'auto' } })

function linesOf (view) {
  const lines = new RangeSetBuilder()
  for (const { from, to } of view.visibleRanges) {
    for (let at = from; at <= to;) {
      const line = view.state.doc.lineAt(at)
      lines.add(line.from, line.from, auto)
      at = line.to + 1
    }
  }
  return lines.finish()
}

export const directions = [
  EditorView.perLineTextDirection.of(true),
  ViewPlugin.define((view) => ({
    lines: linesOf(view),
    update ({ docChanged, viewportChanged, view }) { if (docChanged || viewportChanged) this.lines = linesOf(view) }
  }), { decorations: (plugin) => plugin.lines })
]
