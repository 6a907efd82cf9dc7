// Errors in the editor as a person meets them: a traceback explained in the chat view, its quick fix taken, a missing colon
// repaired by the light bulb. No other language server is installed: what is offered is the server's own.
import { until, withVSCode } from './vscode.mjs';

const SHOP = 'def total(items):\n    count = 0\n    for item in items:\n        count += item\n    return cuont\n\n\nprint(total([1]))\n';
const BROKEN = 'def area(width, height)\n    return width * height\n';
const OUTPUT = `$ python shop.py
Traceback (most recent call last):
  File "shop.py", line 8, in <module>
    print(total([1]))
          ^^^^^^^^^^
  File "shop.py", line 5, in total
    return cuont
           ^^^^^
NameError: name 'cuont' is not defined
`;
const FILES = { 'shop.py': SHOP, 'broken.py': BROKEN, 'output.txt': OUTPUT };

await withVSCode('explain', { files: FILES }, async (code) => {
  const { page } = code;
  const goTo = async (line) => {
    await page.keyboard.press('Control+g');
    await page.waitForSelector('.quick-input-widget input');
    await page.keyboard.type(`${line}`);
    await page.keyboard.press('Enter');
    await page.locator('.quick-input-widget').waitFor({ state: 'hidden', timeout: 5000 });
  };
  /** Opens the list of quick fixes until it holds the entry, and takes it. */
  const quickFix = async (title, picture) => {
    const entry = page.locator('.action-widget .monaco-list-row', { hasText: title }).first();
    await until(`the quick fix ${title}`, 30_000, async () => {
      await page.keyboard.press('Control+.');
      const shown = await entry.waitFor({ timeout: 3000 }).then(() => true, () => false);
      if (!shown) {
        await page.keyboard.press('Escape');
      }
      return shown;
    });
    await code.screenshot(picture);
    await entry.click();
  };

  await code.open('output.txt');
  await code.waitForStatus('ready');
  await page.keyboard.press('Control+a');
  await code.command('Codehearth: Explain the Traceback');
  let chat = await code.chatFrame();
  await chat.waitForSelector('article.assistant .body', { timeout: 30_000 });
  const shown = await chat.locator('article.assistant .body').last().innerText();
  code.check('the explanation names place and error', shown.includes('shop.py, line 5') && shown.includes("name 'cuont'"), shown.slice(0, 200));
  code.check('it names the nearest name with its line', shown.includes('nearest name') && shown.includes('count (variable, line'), '');
  code.check('it shows the change', shown.includes('+    return count'));
  code.check('what was not checked is marked', shown.includes('(not checked)'));
  await code.screenshot('traceback');

  await page.keyboard.press('Control+Shift+e'); // the chat stands where the files were
  await code.open('shop.py');
  await goTo(5);
  await quickFix("Change 'cuont' to 'count'", 'quick-fix');
  await until('the edit is made', 5000, async () => (await page.locator('.view-lines').first().innerText()).includes('return\u00a0count'));
  const saved = await code.save('shop.py');
  code.check('the quick fix repairs the file', saved === SHOP.replace('cuont', 'count'), JSON.stringify(saved));

  await code.open('broken.py');
  await goTo(1);
  await quickFix('Explain this error', 'syntax');
  chat = await code.chatFrame();
  await until('the chat explains the syntax error', 20_000, async () =>
    (await chat.locator('article.assistant .body').last().innerText().catch(() => '')).includes('colon is missing'));
  code.check('“Explain this error” opens the explanation', true);
  await code.screenshot('syntax-explained');
  await page.locator('.monaco-editor .view-lines').first().click();
  await goTo(1);
  await quickFix('Add the missing colon', 'syntax-fix');
  await until('the colon is there', 5000, async () => (await page.locator('.view-lines').first().innerText()).includes('height):'));
  const repaired = await code.save('broken.py');
  code.check('the missing colon is added', repaired === BROKEN.replace('height)', 'height):'), JSON.stringify(repaired));
});
