// A real VS Code for the tests: code-server on loopback, headless Chromium, the built extension, an empty profile.
// What a script gets: a page, the workspace folder, named checks, screenshots. It knows no scenario.
//
// From the environment: RIG (folder of the rig), VSIX, INTERPRETER (a Python with Codehearth), BROWSER, WORK (an empty
// folder), RESULT (JSON file to write), ARTIFACTS (folder of the screenshots), MODEL (a folder, or empty: the embedded one).
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';

const { RIG, VSIX, INTERPRETER, BROWSER, WORK, RESULT, ARTIFACTS, MODEL } = process.env;
const { chromium } = createRequire(path.join(RIG, 'tools/package.json'))('playwright-core');
const CODE_SERVER = path.join(RIG, 'code-server/node_modules/code-server/out/node/entry.js');
const LOCAL_HOSTS = ['127.0.0.1', 'localhost'];

// Nothing that pops up, types by itself or asks the network. What is typed is exactly what the file holds.
const SETTINGS = {
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'workbench.enableExperiments': false,
  'workbench.startupEditor': 'none',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'security.workspace.trust.enabled': false,
  'chat.disableAIFeatures': true,
  'git.enabled': false,
  'files.autoSave': 'off',
  'editor.accessibilitySupport': 'off',
  'editor.minimap.enabled': false,
  'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
  'editor.suggestOnTriggerCharacters': false,
  'editor.wordBasedSuggestions': 'off',
  'editor.parameterHints.enabled': false,
  'editor.autoClosingBrackets': 'never',
  'editor.autoClosingQuotes': 'never',
  'editor.autoIndent': 'none',
  'editor.renderWhitespace': 'none',
};

/** Runs `scenario(code)` against a fresh VS Code and ends the process: 0 if every check held. */
export async function withVSCode(name, { files, settings = {} }, scenario) {
  const code = new VSCode(name);
  try {
    await code.start(files, settings);
    await scenario(code);
  } catch (error) {
    code.check('the scenario runs to its end', false, error.stack);
    await code.screenshot('failed');
  }
  const outside = [...code.outsideHosts];
  code.check('no outside host was asked', outside.length === 0, outside.join(' '));
  await code.stop();
  fs.writeFileSync(RESULT, JSON.stringify({ checks: code.checks, times: code.times }, null, 1));
  process.exit(code.checks.every((one) => one.ok) ? 0 : 1);
}

class VSCode {
  constructor(name) {
    this.name = name;
    this.checks = [];
    this.times = {};
    this.outsideHosts = new Set();
    this.began = Date.now();
    this.changed = {};
    this.workspace = path.join(WORK, 'workspace');
    this.userData = path.join(WORK, 'user-data');
  }

  async start(files, settings) {
    fs.mkdirSync(this.workspace, { recursive: true });
    fs.mkdirSync(path.join(this.userData, 'User'), { recursive: true });
    for (const [file, text] of Object.entries(files)) {
      fs.writeFileSync(path.join(this.workspace, file), text);
    }
    this.settingsFile = path.join(this.userData, 'User/settings.json');
    fs.writeFileSync(this.settingsFile, JSON.stringify(SETTINGS, null, 1));
    this.configure({ 'codehearth.model': MODEL ?? '', ...settings });

    const env = { ...process.env, EXTENSIONS_GALLERY: '{}', XDG_CONFIG_HOME: path.join(WORK, 'config') };
    env.XDG_DATA_HOME = path.join(WORK, 'data');
    env.XDG_STATE_HOME = path.join(WORK, 'state');
    for (const proxy of ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy']) {
      env[proxy] = 'http://127.0.0.1:9'; // the discard port: closed, so that whoever asks for the network fails at once
    }
    env.NO_PROXY = env.no_proxy = LOCAL_HOSTS.join(',');
    const profile = ['--user-data-dir', this.userData, '--extensions-dir', path.join(WORK, 'extensions')];
    const quiet = ['--disable-telemetry', '--disable-update-check'];
    this.install([...profile, ...quiet], env);
    this.took('extension installed');

    const port = await freePort();
    const log = fs.openSync(path.join(WORK, 'code-server.log'), 'w');
    const listen = ['--auth', 'none', '--bind-addr', `127.0.0.1:${port}`, '--disable-getting-started-override'];
    this.process = spawn(process.execPath, [CODE_SERVER, ...profile, ...quiet, ...listen], {
      env,
      stdio: ['ignore', log, log],
    });
    await until('code-server answers', 30_000, async () => {
      const reply = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
      return reply?.ok;
    });

    this.browser = await chromium.launch({
      executablePath: BROWSER,
      headless: true,
      args: [
        '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync',
      ],
    });
    const context = await this.browser.newContext({ viewport: { width: 1200, height: 760 } });
    await context.route(
      (url) => url.protocol.startsWith('http') && !LOCAL_HOSTS.includes(url.hostname),
      (route) => {
        this.outsideHosts.add(new URL(route.request().url()).host);
        return route.abort();
      },
    );
    this.page = await context.newPage();
    await this.page.goto(`http://127.0.0.1:${port}/?folder=${encodeURIComponent(this.workspace)}`, {
      waitUntil: 'domcontentloaded',
    });
    await this.page.waitForSelector('.explorer-folders-view .monaco-list-row', { timeout: 60_000 });
    this.took('workbench up');
  }

  /** As a user does it, by `hearth vscode`: the extension then knows the interpreter without any setting. */
  install(arguments_, env) {
    const editor = path.join(WORK, 'editor');
    const quoted = [process.execPath, CODE_SERVER, ...arguments_].map((word) => `'${word}'`).join(' ');
    fs.writeFileSync(editor, `#!/bin/sh\nexec ${quoted} "$@"\n`, { mode: 0o755 });
    const hearth = 'import sys; from lsp_server.cli import main; sys.exit(main(sys.argv[1:]))';
    const command = ['-P', '-c', hearth, 'vscode', '--vsix', VSIX, '--editor', editor];
    const said = execFileSync(INTERPRETER, command, { env, cwd: WORK, encoding: 'utf8' });
    this.check('hearth vscode installs the extension', said.includes('codehearth.codehearth'), said.split('\n')[0]);
  }

  async stop() {
    await this.browser?.close();
    if (this.process && this.process.exitCode === null) {
      const ended = new Promise((resolve) => this.process.once('exit', resolve));
      this.process.kill('SIGTERM');
      await Promise.race([ended, sleep(5000)]);
    }
  }

  check(name, ok, detail = '') {
    this.checks.push({ name, ok: Boolean(ok), detail: String(detail) });
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${name}${detail === '' ? '' : `: ${detail}`}`);
  }

  took(what) {
    this.times[what] = (Date.now() - this.began) / 1000;
  }

  async screenshot(what) {
    fs.mkdirSync(ARTIFACTS, { recursive: true });
    await this.page?.screenshot({ path: path.join(ARTIFACTS, `${this.name}-${what}.png`) }).catch(() => {});
  }

  async open(file) {
    await this.page.locator('.explorer-folders-view .monaco-list-row', { hasText: file }).dblclick();
    await this.page.waitForSelector('.monaco-editor .view-lines', { timeout: 30_000 });
    await this.page.locator('.monaco-editor .view-lines').first().click();
  }

  read(file) {
    return fs.readFileSync(path.join(this.workspace, file), 'utf8');
  }

  /** Saves the open editor and gives what then stands on disk; throws if nothing was written. */
  async save(file) {
    const whole = path.join(this.workspace, file);
    const before = fs.statSync(whole).mtimeMs;
    await this.page.keyboard.press('Control+s');
    await until(`${file} is saved`, 5000, () => fs.statSync(whole).mtimeMs > before);
    // The editor empties the file before it writes: what is read must have stood still for a moment.
    let text;
    await until(`${file} stands still`, 5000, async () => {
      const earlier = this.read(file);
      await sleep(200);
      text = this.read(file);
      return text === earlier;
    });
    return text;
  }

  /** Writes settings of the machine, also while VS Code runs: it watches this file, not the user's settings.json. */
  configure(changes) {
    this.changed = { ...this.changed, ...changes };
    fs.mkdirSync(path.join(this.userData, 'Machine'), { recursive: true });
    fs.writeFileSync(path.join(this.userData, 'Machine/settings.json'), JSON.stringify(this.changed, null, 1));
  }

  /** A value of the user's settings.json as it is on disk. */
  setting(name) {
    return JSON.parse(fs.readFileSync(this.settingsFile, 'utf8'))[name];
  }

  async command(title) {
    await this.page.keyboard.press('F1');
    await this.page.waitForSelector('.quick-input-widget input');
    await this.page.keyboard.type(title, { delay: 2 });
    const entry = this.page.locator('.quick-input-list .monaco-list-row', { hasText: title }).first();
    await entry.waitFor({ timeout: 5000 });
    await this.page.keyboard.press('Enter');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden', timeout: 5000 });
  }

  /** The state that the status bar item tells to a screen reader, e.g. "ready". */
  async status() {
    const label = await this.page
      .locator('.statusbar-item-label[aria-label^="Codehearth: "]')
      .first()
      .getAttribute('aria-label', { timeout: 1000 })
      .catch(() => undefined);
    return label?.replace('Codehearth: ', '').split(/[,\s]/)[0];
  }

  waitForStatus(wanted, timeout = 60_000) {
    return until(`status is ${wanted}`, timeout, async () => (await this.status()) === wanted);
  }

  /** The ghost text that can be seen, "" if there is none. First line: decorations; further lines: a view zone. */
  async ghostText() {
    return this.page.evaluate(() => {
      const visible = (node) => node.getClientRects().length > 0;
      const text = (node) => node.innerText.replaceAll('\u00a0', ' ').replaceAll('\u200b', '');
      const first = [...document.querySelectorAll('.view-lines [class*="ghost-text"]')].filter(visible).map(text).join('');
      const zone = [...document.querySelectorAll('.suggest-preview-text .ghost-text, .suggest-preview-text.ghost-text')];
      const further = zone.filter(visible).map(text).join('\n');
      return further ? `${first}\n${further}` : first;
    });
  }

  /** Waits for ghost text that has stopped changing; "" if none came within the time. */
  async waitForGhostText(timeout = 4000) {
    const end = Date.now() + timeout;
    let last = '';
    while (Date.now() < end) {
      const now = await this.ghostText();
      if (now && now === last) {
        return now;
      }
      last = now;
      await sleep(150);
    }
    return '';
  }

  /** The frame of the chat's webview. */
  async chatFrame() {
    return until('the chat view is drawn', 20_000, async () => {
      for (const frame of this.page.frames()) {
        if (await frame.locator('#log').count().catch(() => 0)) {
          return frame;
        }
      }
      return undefined;
    });
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again and again until `probe` gives something true, and gives that; throws after `timeout` ms. */
export async function until(what, timeout, probe) {
  const end = Date.now() + timeout;
  for (;;) {
    const found = await probe();
    if (found) {
      return found;
    }
    if (Date.now() > end) {
      throw new Error(`waited ${timeout / 1000} s, but not so: ${what}`);
    }
    await sleep(50);
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
