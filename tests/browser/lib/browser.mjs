// A real browser without a window. What a page reports as an error fails the test, unless the test said that it would come.

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium'
const FLAGS = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync'
]
/** How long the browser waits for an element or a page: generous, as two cores are shared with the server and others. */
const PATIENCE_MS = 20_000
/** What Chromium logs by itself when a page has lost its server; see `Person.offline` and `Person.expect`. */
export const LOST_SERVER = /WebSocket connection to .* failed|net::ERR_(INTERNET_DISCONNECTED|CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE)/

export class Browser {
  /**
   * A browser of this test's own, ended with the test, with a profile that nothing was ever stored in. Start it before
   * the servers: what was started first ends first, and a page whose server ends before it reports an error.
   * @param {import('node:test').TestContext} t
   * @param {{ args?: string[] }} options `args` are further flags of Chromium
   */
  static async start (t, { args = [] } = {}) {
    const browser = new Browser()
    browser.t = t
    browser.people = []
    browser.process = await chromium.launch({
      executablePath: EXECUTABLE, headless: true, chromiumSandbox: false, args: [...FLAGS, ...args]
    })
    t.after(async () => {
      await browser.process.close()
      lastOfAll(t, () => noProblems(browser.people))
    })
    return browser
  }

  /**
   * Somebody with a page: cookies, storage and BroadcastChannel are not shared with the others, so that whatever one
   * sees of another one went through the server.
   * @param {string} name as problems and screenshots are called
   * @param {import('playwright-core').BrowserContextOptions} options viewport, locale, colorScheme, and the like
   */
  async person (name, options = {}) {
    const context = await this.process.newContext({ viewport: { width: 1100, height: 720 }, ...options })
    return this.#take(name, context)
  }

  #take (name, context) {
    context.setDefaultTimeout(PATIENCE_MS)
    const person = new Person(name, context)
    this.people.push(person)
    context.on('page', (page) => person.listen(page))
    return person
  }
}

/** A profile on disk, for what must outlive the browser itself: ended and started again, it still has its storage. */
export class Profile {
  static async make (t) {
    const profile = new Profile()
    profile.t = t
    profile.directory = await mkdtemp(join(tmpdir(), 'ruang-profile-'))
    profile.people = []
    t.after(async () => {
      await profile.close()
      await rm(profile.directory, { recursive: true, force: true, maxRetries: 5 })
      lastOfAll(t, () => noProblems(profile.people))
    })
    return profile
  }

  /** Starts a browser on the profile. */
  async open (name, { args = [], ...options } = {}) {
    this.context = await chromium.launchPersistentContext(this.directory, {
      executablePath: EXECUTABLE, headless: true, chromiumSandbox: false, args: [...FLAGS, ...args],
      viewport: { width: 1100, height: 720 }, ...options
    })
    this.context.setDefaultTimeout(PATIENCE_MS)
    const person = new Person(name, this.context)
    this.people.push(person)
    this.context.pages().forEach((page) => person.listen(page))
    this.context.on('page', (page) => person.listen(page))
    return person
  }

  async close () {
    await this.context?.close()
    this.context = undefined
  }
}

/** From within an `after`: runs behind all others. One that throws would keep them from ending what they started. */
const lastOfAll = (t, check) => t.after(check)

function noProblems (people) {
  const problems = people.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`))
  assert.deepEqual(problems, [], 'no page reports an error')
}

/** One person's pages, which share storage: the tabs of one browser. */
export class Person {
  problems = []
  #expected = []

  constructor (name, context) {
    this.name = name
    this.context = context
  }

  listen (page) {
    page.on('console', (message) => {
      if (message.type() === 'error') this.#problem(message.text())
    })
    page.on('pageerror', (error) => this.#problem(error.stack ?? String(error)))
    page.on('crash', () => this.#problem('the page crashed'))
  }

  #problem (text) {
    if (!this.#expected.some((pattern) => pattern.test(text))) this.problems.push(text)
  }

  /** From now on, what this matches is no problem: say it just before what brings it about. */
  expect (pattern) { this.#expected.push(pattern) }

  /** Opens a page and waits until it is loaded. */
  async open (url) {
    const page = await this.context.newPage()
    await page.goto(url, { waitUntil: 'load' })
    return page
  }

  /** Cuts the network of all pages, or gives it back. Sockets that are open are cut as well. */
  async offline (off = true) {
    this.expect(LOST_SERVER)
    await this.context.setOffline(off)
  }

  online () { return this.offline(false) }
}

/**
 * How much of a page has jumped by itself since it was opened, as browsers measure it (the sum of layout shifts that no
 * input came before); below 0.1 counts as good.
 */
export const jumps = (page) => page.evaluate(() => new Promise((resolve) => {
  let sum = 0
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) sum += value
  }).observe({ type: 'layout-shift', buffered: true })
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(sum)))
}))

let folder
/**
 * Takes a picture of what is on the screen. It is kept in RUANG_SCREENSHOTS if that is set; otherwise in a folder that
 * goes with the process, unless a test has failed.
 * @returns {Promise<string>} where it is
 */
export async function screenshot (page, name, options = {}) {
  folder ??= makeFolder()
  const path = join(await folder, `${name}.png`)
  await page.screenshot({ path, animations: 'disabled', ...options })
  return path
}

async function makeFolder () {
  if (process.env.RUANG_SCREENSHOTS) {
    await mkdir(process.env.RUANG_SCREENSHOTS, { recursive: true })
    return process.env.RUANG_SCREENSHOTS
  }
  const made = await mkdtemp(join(tmpdir(), 'ruang-screens-'))
  process.once('exit', (code) => {
    if (code === 0) rmSync(made, { recursive: true, force: true })
    else console.error(`screenshots: ${made}`)
  })
  return made
}
