// What a person sees when the language server cannot be started: a sentence, and a way on.
import { sleep, until, withVSCode } from './vscode.mjs';

const MISSING = '/nowhere/bin/python3';

await withVSCode('trouble', { files: { 'a.py': '' }, settings: { 'codehearth.interpreter': MISSING } }, async (code) => {
  const { page } = code;
  await code.open('a.py');
  await code.waitForStatus('error');
  code.check('the status bar shows the error', true);
  const message = page.locator('.notification-list-item', { hasText: 'Codehearth' }).first();
  await message.waitFor({ timeout: 10_000 });
  const text = await message.innerText();
  code.check('the message names the setting and the file', text.includes('codehearth.interpreter') && text.includes(MISSING), text);
  await code.screenshot('message');

  await page.locator('.monaco-editor .view-lines').first().click(); // the message may have taken the focus
  await page.keyboard.type('x = 1', { delay: 20 });
  code.check('typing goes on', (await code.save('a.py')) === 'x = 1');

  code.configure({ 'codehearth.interpreter': '' }); // back to what `hearth vscode` noted
  await code.waitForStatus('ready');
  code.check('a corrected setting starts the server', true);
  const open = () => page.locator('.statusbar-item-label[aria-label^="Codehearth: "]').first().click();
  await until('the menu opens', 10_000, async () => {
    await open();
    return page.locator('.quick-input-list .monaco-list-row', { hasText: 'Restart' }).first().isVisible();
  });
  await sleep(400); // it fades in
  await code.screenshot('menu');
  code.check('a click on the status bar opens the menu', true);
});
