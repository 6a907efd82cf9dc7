// The chat view as a person meets it: ask about selected code, watch the answer stream, stop one, insert code.
import { sleep, until, withVSCode } from './vscode.mjs';

const FILE = 'pair.py';
const CODE = 'def pair(left, right):\n    return (left, right)\n';

await withVSCode('chat', { files: { [FILE]: CODE }, settings: { 'codehearth.chat.maxTokens': 200 } }, async (code) => {
  const { page } = code;
  await code.open(FILE);
  await code.waitForStatus('ready');

  await page.locator('.activitybar .action-item a[aria-label*="Codehearth"]').first().click();
  let chat = await code.chatFrame();
  code.took('chat view drawn');
  code.check('the empty view says what it is', (await chat.innerText('.empty')).includes('this machine'));
  await code.screenshot('empty');

  // Every change of the answer is noted in the page itself: from here, polling would miss short ones.
  await chat.evaluate(() => {
    window.seen = [];
    new MutationObserver(() => {
      const answers = document.querySelectorAll('article.assistant .body');
      const text = answers[answers.length - 1]?.innerText ?? '';
      if (text && window.seen.at(-1) !== text) {
        window.seen.push(text);
      }
    }).observe(document.getElementById('log'), { childList: true, subtree: true, characterData: true });
  });
  const idle = () => chat.locator('#send:not([disabled])').waitFor({ timeout: 60_000 });

  await chat.fill('#input', 'How do I open a <img src=x onerror="document.title=1"> file in Python?');
  await chat.press('#input', 'Enter');
  await chat.waitForSelector('article.assistant .body', { timeout: 10_000 });
  await idle();
  const steps = await chat.evaluate(() => window.seen);
  const answer = await chat.locator('article.assistant .body').last().innerText();
  code.took('answered');
  code.check('an answer appears', answer.trim() !== '', JSON.stringify(answer.slice(0, 120)));
  code.check('it streams', steps.length >= 2 && steps[0].length < answer.length, `${steps.length} steps`);
  code.check('markup in a message is text', (await chat.locator('article img').count()) === 0);
  code.check('no problem is reported', (await chat.locator('#state.problem').count()) === 0, await chat.innerText('#state'));
  await code.screenshot('answered');

  // An answer may end by itself before the button is pressed: ask again, a few times at most.
  code.configure({ 'codehearth.chat.maxTokens': 4096 });
  await sleep(500);
  let stopped = '';
  for (let attempt = 0; attempt < 15 && !stopped.includes('stopped'); attempt++) {
    await chat.evaluate(() => {
      const stop = document.getElementById('stop');
      new MutationObserver((_, observer) => {
        const answers = document.querySelectorAll('article.assistant .body');
        if (!stop.hidden && answers[answers.length - 1]?.innerText) {
          observer.disconnect();
          stop.click();
        }
      }).observe(document.getElementById('log'), { childList: true, subtree: true });
    });
    await chat.fill('#input', `Explain the class in step ${attempt}.`);
    await chat.press('#input', 'Enter');
    await chat.waitForSelector('#send[disabled]', { timeout: 5000 });
    await idle();
    stopped = await chat.innerText('#state');
  }
  code.check('Stop ends an answer', stopped.includes('stopped'), stopped);
  await code.screenshot('stopped');

  await page.locator('.monaco-editor .view-lines').first().click();
  await page.keyboard.press('Control+a');
  await code.command('Codehearth: Ask About the Selection');
  chat = await code.chatFrame();
  const draft = await until('the question holds the selection', 5000, async () => {
    const value = await chat.inputValue('#input');
    return value.includes('def pair') && value;
  });
  code.check('the selection comes with its place', draft.startsWith(`${FILE}, lines 1–`), JSON.stringify(draft));
  await chat.press('#input', 'Enter');
  await chat.waitForSelector('article.user .code', { timeout: 5000 });
  await idle();
  await page.locator('.monaco-editor .view-lines').first().click();
  await page.keyboard.press('Control+End');
  await chat.locator('article.user .code button', { hasText: 'Insert' }).last().click();
  await sleep(500);
  const saved = await code.save(FILE);
  code.check('Insert puts a code block at the caret', saved === CODE + CODE.trimEnd(), JSON.stringify(saved));
  await code.screenshot('inserted');
});
