// Ghost text as a person meets it: type Python, see the suggestion, Esc, ask again, Tab, save, read the file on disk;
// switch completions off and on.
import { sleep, withVSCode } from './vscode.mjs';

const FILE = 'totals.py';
// Typed line by line until a suggestion appears: which line the model has something to say about is its own affair.
const LINES = [
  'import json',
  'import os',
  '',
  '',
  'def read_text(path):',
  '    with open(path, "r", encoding="utf-8") as file:',
  '        return file.',
  '',
  '',
  'def total(values):',
  '    result = 0',
  '    for value in values:',
  '        result +=',
  '    return',
  '',
  'class Counter:',
  '    def __init__(self, name):',
  '        self.name =',
];

await withVSCode('inline', { files: { [FILE]: '' } }, async (code) => {
  const { page } = code;
  await code.open(FILE);
  await code.waitForStatus('ready');
  code.took('server ready');
  code.check('the status bar shows ready', true);
  await code.screenshot('ready');

  let typed = '';
  let ghost = '';
  for (const line of LINES) {
    const text = (typed && '\n') + line;
    await page.keyboard.type(text, { delay: 30 });
    typed += text;
    if (line.trim()) {
      ghost = await code.waitForGhostText(line.startsWith(' ') ? 3000 : 300);
    }
    if (ghost.trim() && line.startsWith(' ')) {
      break;
    }
  }
  code.took('ghost text');
  code.check('ghost text appears while typing', ghost.trim() !== '', JSON.stringify(ghost));
  await code.screenshot('ghost-text');
  code.check('the file on disk is untouched until then', code.read(FILE) === '');

  await page.keyboard.press('Escape');
  await sleep(300);
  code.check('Esc hides it', (await code.ghostText()) === '');
  await page.keyboard.press('Alt+Backslash');
  ghost = await code.waitForGhostText();
  code.check('the trigger key brings a suggestion', ghost.trim() !== '', JSON.stringify(ghost));

  await page.keyboard.press('Tab');
  await sleep(200);
  await page.keyboard.press('Escape'); // a suggestion that follows the accepted one is not part of this
  const saved = await code.save(FILE);
  code.took('accepted and saved');
  await code.screenshot('accepted');
  code.check('the saved file holds what was typed and shown', saved === typed + ghost, JSON.stringify(saved.slice(-80)));

  await code.command('Codehearth: Switch Inline Completion On or Off');
  await code.waitForStatus('off', 5000);
  code.check('the switch turns completions off', code.setting('codehearth.enable') === false);
  await page.keyboard.type('\n\ndef area(width, height):\n    return ', { delay: 30 });
  code.check('nothing is offered while off', (await code.waitForGhostText(2000)) === '');
  await code.command('Codehearth: Switch Inline Completion On or Off');
  await code.waitForStatus('ready', 5000);
  code.check('no message complains', (await page.locator('.notification-list-item').count()) === 0);
});
