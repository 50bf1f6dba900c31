"""Words that mean the same to an attacker in eleven languages, as concepts. Floor 2.

What a concept counts for is learnt (`weights.py`); only which words belong to it is written here. Stems stand
for their inflections. English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Chinese,
Japanese.
"""

import re
from typing import Final

_ROWS: Final[tuple[str, ...]] = (
    # A sentence ends: concepts on its two sides are no pair.
    "[.!?;。！？]",
    # To leave aside.
    (
        r"ignor\w*|disregard\w*|forget|overlook|neglect|vergiss|vergessen|missachte\w*|oublie\w*"
        r"|olvid\w*|dimentic\w*|esque[cç]\w*|negeer|vergeet|zignoruj|zapomnij|pomi[nń]\w*|игнорир\w*"
        r"|забуд\w*|忽略|忽视|无视|忘记|無視|忘れ"
    ),
    # What stood before.
    (
        r"previous\w*|above|prior|earlier|preceding|vorherig\w*|bisherig\w*|vorangegangen\w*|obig\w*"
        r"|précédent\w*|antérieur\w*|anterior\w*|previ[oa]s?|precedent\w*|vorige|eerdere|bovenstaande"
        r"|poprzedni\w*|wcześniejsz\w*|предыдущ\w*|之前|以上|先前|前の"
    ),
    # What binds the model.
    (
        r"instruct\w*|prompts?|rules?|guidelines?|directives?|anweisung\w*|vorgabe\w*|regeln?"
        r"|consignes?|règles?|instrucci[oó]n\w*|instruç\w*|reglas?|regras?|istruzion\w*|regole"
        r"|instructies|polece\w*|instrukcj\w*|zasad\w*|инструкц\w*|правил\w*|указани\w*|指令|指示|规则|提示|命令"
        "|ルール"
    ),
    # Who commands it.
    (
        r"system\w*|developers?|admin\w*|root|sudo|operator|entwickler\w*|syst[eè]me|sistema|systeem"
        r"|систем\w*|系统|システム"
    ),
    # To get out.
    (
        r"override\w*|overwrite|bypass\w*|circumvent\w*|jailbr\w*|unlock\w*|unrestricted|uncensored"
        r"|unfiltered|umgeh\w*|contourn\w*|desbloque\w*|omite|aggir\w*|omzeil\w*|obejd\w*|обойди\w*|绕过"
        "|回避|解除"
    ),
    # To be somebody else.
    (
        r"pretend\w*|roleplay\w*|persona|simulat\w*|imagine|character|impersonat\w*|spiele?|rolle"
        r"|prétends|imagin\w*|finge\w*|fingi|actúa|agisci|atue|speel|udawaj|wciel|притвор\w*|представь"
        "|假装|扮演|ふり"
    ),
    # To give out.
    (
        r"reveal\w*|repeat|print|output|show|leak\w*|disclose|expose|dump|verrat\w*|zeige?|gib"
        r"|révèle\w*|affiche\w*|montre\w*|revela\w*|muestra\w*|mostra\w*|rivela\w*|toon|onthul|pokaż"
        r"|ujawnij|покажи|раскро\w*|выведи|显示|输出|透露|表示|出力"
    ),
    # What is not to be given out.
    (
        r"passwords?|secrets?|credentials?|confidential\w*|tokens?|apikey|keys?|private|passwor\w*"
        r"|geheim\w*|contraseñ\w*|senhas?|wachtwoord\w*|mot|hasł\w*|парол\w*|секрет\w*|密码|密钥|秘密|パスワード"
    ),
    # Without bounds.
    (
        r"dan|anything|limits?|restrictions?|filters?|limitless|boundar\w*|grenzen|einschränkung\w*"
        r"|limites?|restricci\w*|restriç\w*|restrizion\w*|beperkingen|ogranicze\w*|ограничен\w*|限制|制限"
    ),
    # To carry away.
    (
        r"send|upload\w*|forward\w*|exfiltrat\w*|transmit\w*|post|submit|sende|schicke?|leite"
        r"|envoie\w*|transmet\w*|env[ií]a\w*|reenv\w*|invia\w*|inoltra\w*|envie|stuur|wyślij|prześlij"
        r"|отправ\w*|перешли|发送|上传|转发|送信"
    ),
    # Where to.
    (
        r"https?|www|webhook|url|link|click|clique\w*|klick\w*|haz|clicca\w*|klik\w*|kliknij|ссылк\w*"
        "|链接|点击|リンク|クリック"
    ),
    # In disguise.
    (
        r"base64|rot13|decode\w*|encode\w*|encoding|reversed?|backwards|cipher|hex|leetspeak|morse"
        r"|anagram\w*|homophones?|misspell\w*|scrambl\w*|substitut\w*|synonyms?|verschlüssel\w*"
        "|rückwärts|编码|解码|倒序|暗号"
    ),
    # To say something; what an assistant does.
    (
        r"answer\w*|respond\w*|reply|replies|response\w*|antwort\w*|beantwort\w*|erwider\w*|répon\w*"
        r"|réplique|respond\w*|respuesta\w*|contest\w*|rispo\w*|respost\w*|antwoord\w*|odpowie\w*"
        r"|odpowiad\w*|ответ\w*|回答|回复|答复|返答|答え\w*"
    ),
    # To make something.
    (
        r"write|compose|create|generate|draft|translate\w*|summari[sz]e\w*|explain|describe|list"
        r"|schreib\w*|erstelle|übersetz\w*|erkläre|fasse|écri\w*|rédige\w*|tradui\w*|résume\w*"
        r"|expli\w*|escrib\w*|traduc\w*|resum\w*|scriv\w*|spiega\w*|escrev\w*|traduz\w*|schrijf"
        r"|vertaal|napisz|przetłumacz|напиши\w*|перевед\w*|объясни\w*|写|翻译|总结|解释|書い\w*|翻訳|要約|説明"
    ),
    # To put something in.
    (
        r"insert\w*|embed\w*|includ\w*|incorporat\w*|integrat\w*|append\w*|add|mention\w*|recommend\w*"
        r"|promot\w*|füge|erwähne|empfiehl|ajoute\w*|insère\w*|inclu\w*|recommand\w*|mentionne\w*"
        r"|añad\w*|agrega|menciona\w*|recomiend\w*|aggiung\w*|includ\w*|inserisci|raccomand\w*"
        r"|adicion\w*|inser\w*|voeg|vermeld|dodaj|wspomnij|добав\w*|включи\w*|упомян\w*|添加|加入|推荐|追加"
        r"|含め\w*"
    ),
    # Order and ban.
    (
        r"never|always|must|don|refuse\w*|cannot|allowed|forbidden|niemals|immer|musst|jamais|toujours"
        "|dois|nunca|siempre|debes|mai|sempre|devi|deve|nooit|altijd|moet|nigdy|zawsze|musisz|никогда"
        "|всегда|должен|必须|不要|绝不|必ず|決して"
    ),
    # Conscience.
    (
        r"ethic\w*|moral\w*|polic(?:y|ies)|legal\w*|illegal\w*|safety|warning\w*|disclaimer\w*"
        r"|ethisch\w*|éthique\w*|ético\w*|etic[oah]\w*|этик\w*|道德|倫理"
    ),
    # The one who is spoken to.
    (
        r"you|your|yourself|du|dein\w*|sie|ihr\w*|tu|ton|ta|tes|vous|votre|vos|tus?|usted|você|seu|sua"
        r"|tuo|tua|je|jouw|jij|ty|twoj\w*|ты|твой|твои|твоих|вы|ваш\w*|你|您|あなた"
    ),
    # From here on.
    (
        "now|instead|henceforth|onwards?|jetzt|ab|sofort|stattdessen|maintenant|désormais|plutôt"
        "|ahora|adelante|adesso|ora|invece|agora|nu|voortaan|teraz|odtąd|теперь|вместо|отныне|现在|从现在"
        "|今から|代わりに"
    ),
    # What it is.
    (
        r"ai|assistants?|chatbots?|bots?|gpt\w*|chatgpt|llm|models?|assistent\w*|assistente|asistente"
        r"|modell?\w*|asystent\w*|ассистент\w*|модел\w*|助手|模型|人工智能|アシスタント"
    ),
    # What is being done.
    (
        r"task|question\w*|user\w*|conversation|context|aufgabe|frage\w*|benutzer\w*|nutzer\w*|tâche"
        r"|utilisateur\w*|tarea|pregunta\w*|usuario\w*|compito|domanda|utente|usuári\w*|taak|vraag"
        r"|gebruiker\w*|zadani\w*|pytani\w*|użytkownik\w*|задач\w*|вопрос\w*|пользовател\w*|任务|问题|用户"
        "|质問|質問|ユーザー"
    ),
    # Courtesy.
    "please|kindly|bitte|svp|veuillez|por|favor|per|favore|alstublieft|proszę|пожалуйста|请|ください",
    # Code that runs something.
    (
        r"exec\w*|eval|popen|subprocess|shell\w*|bash|powershell|cmd|spawn\w*|ctypes|chmod|crontab"
        r"|systemctl|rm|dd|mkfs|kill\w*|shutdown"
    ),
    # Code that speaks to somewhere.
    (
        r"requests?|urllib\w*|urlopen|urlretrieve|httpx?|socket\w*|curl|wget|smtplib|sendmail|smtp"
        r"|ftplib|paramiko|ssh|telnet\w*|fetch|xmlhttp\w*|payload|sendall"
    ),
    # Code that looks around.
    (
        r"environ\w*|getenv|psutil|platform|uname|getpass|cookies?|sqlite3|keyboard|pynput|listdir"
        r"|glob|walk|usb|lsusb|devices?|drivers?|memory|mem|proc|registry|winreg|browser\w*|history"
        r"|clipboard|sounddevice|query_devices|shadow|passwd|trash|recycle\w*"
    ),
    # Code that does harm.
    (
        r"miner\w*|mining|xmrig|monero|exploit\w*|malware|backdoor\w*|keylog\w*|ransom\w*|botnet\w*"
        r"|ddos|worm|virus|trojan|payloads?|scada|modbus|nmap|scapy|scan\w*|attacker\w*|victim\w*"
        r"|steal\w*|hijack\w*|inject\w*|cve|overflow\w*|spam\w*"
    ),
    # A piece of code.
    (
        r"code|snippet|script|block|function|program|codeblock|quellcode|código|codice|программ\w*|код"
        "|代码|コード"
    ),
)
CONCEPTS: Final = tuple(re.compile(row) for row in _ROWS)
BREAK: Final = 0

_WRITTEN_TOGETHER: Final = sorted(
    {word for row in _ROWS for word in re.findall("[\u3040-\u30ff\u4e00-\u9fff]{2,}", row)},
    key=len,
    reverse=True,
)
IDEOGRAMS: Final = re.compile("|".join((*_WRITTEN_TOGETHER, "[\u3040-\u30ff\u3400-\u9fff]")))
"""Words of languages that write none apart, known ones first, then each character."""
