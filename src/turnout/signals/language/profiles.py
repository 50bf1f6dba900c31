"""Languages in the Latin script: frequent words, and text for trigram profiles. Data. Floor 2.

The sentences were written for this table, about everyday things and requests to an assistant, so that the
profile holds the trigrams of questions and instructions as well as those of prose. Codes are ISO 639-1.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class Language(Struct, frozen=True):
    """What a language looks like."""

    words: str
    """Frequent words that few other languages have in this form."""
    text: str


LATIN: Final[Mapping[str, Language]] = {
    "en": Language(
        "hello hi thanks tell me "
        "the and of to is that it was for with as on are this be at have from they you which what how "
        "would there their about when your can please should could will not who where why does an or by "
        "its if",
        "Please write a short letter to our customers and explain why the delivery is late. What should "
        "we do when the weather changes and there is nothing to eat in the house? They have been working "
        "on this problem for three years, and nobody knows how it will end. The children were playing in "
        "the garden while their mother was reading a book about the history of the town. Could you tell "
        "me which of these two answers is better, and how I would find out? I think that the first thing "
        "you need is a good plan with a list of what you want.",
    ),
    "de": Language(
        "hallo danke bitte ich "
        "der die das und ist nicht ein eine einen ich sie mit auf für von dem den sich auch wie was wir "
        "bitte wenn aber oder über zu im werden wird kann können sind haben warum noch nach bei aus durch "
        "mir mich",
        "Bitte schreibe einen kurzen Brief an unsere Kunden und erkläre, warum die Lieferung zu spät "
        "kommt. Was sollen wir machen, wenn sich das Wetter ändert und nichts zu essen im Haus ist? Sie "
        "arbeiten seit drei Jahren an diesem Problem, und niemand weiß, wie es ausgehen wird. Die Kinder "
        "spielten im Garten, während ihre Mutter ein Buch über die Geschichte der Stadt las. Kannst du "
        "mir sagen, welche der beiden Antworten besser ist und wie ich das herausfinden könnte? Ich "
        "glaube, dass man zuerst einen guten Plan braucht.",
    ),
    "fr": Language(
        "la de bonjour merci salut "
        "le les des est une dans pour que qui pas sur avec vous nous ce cette sont au aux ne plus comment "
        "pourquoi mais ou où être je il elle du et quel quelle sans leur ses mon peut faire",
        "Écrivez une courte lettre à nos clients et expliquez pourquoi la livraison est en retard, s'il "
        "vous plaît. Que devons-nous faire quand le temps change et qu'il n'y a rien à manger dans la "
        "maison ? Ils travaillent sur ce problème depuis trois ans et personne ne sait comment cela "
        "finira. Les enfants jouaient dans le jardin pendant que leur mère lisait un livre sur l'histoire "
        "de la ville. Pouvez-vous me dire laquelle de ces deux réponses est la meilleure et comment je "
        "pourrais le savoir ? Je crois qu'il faut d'abord un bon plan.",
    ),
    "es": Language(
        "la de hola gracias tú "
        "el los las una del por para con que es en se no lo como más pero su sus qué cómo cuál está son "
        "este esta yo muy hay donde cuando porque puede ser al un",
        "Por favor, escribe una carta breve a nuestros clientes y explica por qué la entrega llega tarde. "
        "¿Qué debemos hacer cuando cambia el tiempo y no hay nada que comer en la casa? Llevan tres años "
        "trabajando en este problema y nadie sabe cómo va a terminar. Los niños jugaban en el jardín "
        "mientras su madre leía un libro sobre la historia de la ciudad. ¿Puedes decirme cuál de estas "
        "dos respuestas es mejor y cómo podría averiguarlo? Creo que lo primero que necesitas es un buen "
        "plan con una lista de lo que quieres.",
    ),
    "it": Language(
        "la ciao grazie buongiorno "
        "il gli della che di per non una con sono come più nel del dei alla questo questa perché cosa "
        "anche ma se lo mi si da le ho hai quale quando dove può essere un",
        "Per favore, scrivi una breve lettera ai nostri clienti e spiega perché la consegna è in ritardo. "
        "Che cosa dobbiamo fare quando il tempo cambia e non c'è niente da mangiare in casa? Lavorano a "
        "questo problema da tre anni e nessuno sa come andrà a finire. I bambini giocavano nel giardino "
        "mentre la loro madre leggeva un libro sulla storia della città. Puoi dirmi quale di queste due "
        "risposte è migliore e come potrei scoprirlo? Credo che la prima cosa di cui hai bisogno sia un "
        "buon piano con una lista di quello che vuoi.",
    ),
    "pt": Language(
        "de olá obrigado obrigada tudo "
        "os das dos uma não para com em que do da no na por mais como mas ao são você isso este esta seu "
        "sua também foi tem quando quem qual porque pode ser um eu",
        "Por favor, escreva uma carta curta aos nossos clientes e explique por que a entrega está "
        "atrasada. O que devemos fazer quando o tempo muda e não há nada para comer em casa? Eles "
        "trabalham neste problema há três anos e ninguém sabe como vai acabar. As crianças brincavam no "
        "jardim enquanto a mãe delas lia um livro sobre a história da cidade. Você pode me dizer qual "
        "destas duas respostas é melhor e como eu poderia descobrir? Acho que a primeira coisa de que "
        "você precisa é um bom plano com uma lista do que quer.",
    ),
    "nl": Language(
        "hallo bedankt "
        "de het een van en is dat niet op te zijn met voor die ik je wat hoe naar maar ook aan er bij "
        "wordt worden kan waarom deze dit als om of uit heb hebben mijn",
        "Schrijf alsjeblieft een korte brief aan onze klanten en leg uit waarom de levering te laat is. "
        "Wat moeten we doen als het weer verandert en er niets te eten in huis is? Ze werken al drie jaar "
        "aan dit probleem en niemand weet hoe het zal aflopen. De kinderen speelden in de tuin terwijl "
        "hun moeder een boek over de geschiedenis van de stad las. Kun je me zeggen welke van deze twee "
        "antwoorden beter is en hoe ik dat zou kunnen uitzoeken? Ik denk dat je eerst een goed plan nodig "
        "hebt met een lijst van wat je wilt.",
    ),
    "sv": Language(
        "hej tack "
        "och att det som en är på för med av inte den till ett jag du har kan om hur vad eller från vi de "
        "ska var men när varför också mig min finns skulle",
        "Skriv ett kort brev till våra kunder och förklara varför leveransen är försenad. Vad ska vi göra "
        "när vädret ändras och det inte finns något att äta i huset? De har arbetat med det här problemet "
        "i tre år och ingen vet hur det kommer att sluta. Barnen lekte i trädgården medan deras mamma "
        "läste en bok om stadens historia. Kan du säga mig vilket av de här två svaren som är bäst och "
        "hur jag skulle kunna ta reda på det? Jag tror att det första du behöver är en bra plan med en "
        "lista över vad du vill.",
    ),
    "da": Language(
        "hej tak "
        "og at det som en er på for med af ikke den til et jeg du har kan om hvordan hvad eller fra vi de "
        "skal var men når hvorfor også mig min være blive noget",
        "Skriv et kort brev til vores kunder og forklar, hvorfor leveringen er forsinket. Hvad skal vi "
        "gøre, når vejret skifter, og der ikke er noget at spise i huset? De har arbejdet på dette "
        "problem i tre år, og ingen ved, hvordan det ender. Børnene legede i haven, mens deres mor læste "
        "en bog om byens historie. Kan du sige mig, hvilket af de to svar der er bedst, og hvordan jeg "
        "kunne finde ud af det? Jeg tror, at det første, du har brug for, er en god plan med en liste "
        "over, hvad du gerne vil have.",
    ),
    "pl": Language(
        "cześć dzięki "
        "na nie że się do jest to jak po co ale tak dla od czy przez oraz który która które jego są być "
        "może proszę dlaczego kiedy mi za już tylko",
        "Proszę napisać krótki list do naszych klientów i wyjaśnić, dlaczego dostawa się spóźnia. Co "
        "powinniśmy zrobić, kiedy zmieni się pogoda, a w domu nie ma nic do jedzenia? Pracują nad tym "
        "problemem od trzech lat i nikt nie wie, jak to się skończy. Dzieci bawiły się w ogrodzie, a ich "
        "matka czytała książkę o historii miasta. Czy możesz mi powiedzieć, która z tych dwóch odpowiedzi "
        "jest lepsza i jak mógłbym to sprawdzić? Myślę, że najpierw potrzebny jest dobry plan z listą "
        "tego, czego chcesz.",
    ),
    "cs": Language(
        "ahoj děkuji "
        "na se je že to do jak ale za by pro po který která které jsou není co jako kdy proč tak už jsem "
        "být může prosím mi nebo podle",
        "Napište prosím krátký dopis našim zákazníkům a vysvětlete, proč se dodávka zpozdila. Co máme "
        "dělat, když se změní počasí a doma není nic k jídlu? Pracují na tomto problému už tři roky a "
        "nikdo neví, jak to skončí. Děti si hrály na zahradě, zatímco jejich matka četla knihu o dějinách "
        "města. Můžete mi říct, která z těchto dvou odpovědí je lepší a jak bych to mohl zjistit? Myslím, "
        "že nejdříve potřebujete dobrý plán se seznamem toho, co chcete.",
    ),
    "ro": Language(
        "salut mulțumesc "
        "și de la în pe nu este cu să ce un care din pentru mai sunt dar cum că au fi al ale sau când "
        "unde această acest îmi te rog despre fost",
        "Vă rog să scrieți o scrisoare scurtă clienților noștri și să explicați de ce livrarea întârzie. "
        "Ce trebuie să facem când se schimbă vremea și nu este nimic de mâncare în casă? Lucrează la "
        "această problemă de trei ani și nimeni nu știe cum se va termina. Copiii se jucau în grădină în "
        "timp ce mama lor citea o carte despre istoria orașului. Îmi puteți spune care dintre aceste două "
        "răspunsuri este mai bun și cum aș putea afla? Cred că mai întâi ai nevoie de un plan bun cu o "
        "listă.",
    ),
    "tr": Language(
        "merhaba teşekkürler "
        "ve bir bu da de için ile ne çok daha gibi olarak olan var mı mi değil kadar sonra ben sen nasıl "
        "neden lütfen her ama veya en şu bana misin mısın",
        "Lütfen müşterilerimize kısa bir mektup yazın ve teslimatın neden geciktiğini açıklayın. Hava "
        "değiştiğinde ve evde yiyecek bir şey olmadığında ne yapmalıyız? Üç yıldır bu sorun üzerinde "
        "çalışıyorlar ve nasıl biteceğini kimse bilmiyor. Anneleri şehrin tarihi hakkında bir kitap "
        "okurken çocuklar bahçede oynuyordu. Bu iki cevaptan hangisinin daha iyi olduğunu ve bunu nasıl "
        "öğrenebileceğimi söyleyebilir misiniz? Bence önce iyi bir plana ve istediklerinizin bir "
        "listesine ihtiyacınız var.",
    ),
    "id": Language(
        "halo terima kasih "
        "yang dan di untuk dengan ini itu dari tidak pada adalah dalam akan saya kamu anda apa bagaimana "
        "mengapa bisa ada oleh ke juga atau karena lebih sudah kita mereka tolong jika",
        "Tolong tulis surat singkat kepada pelanggan kami dan jelaskan mengapa pengiriman terlambat. Apa "
        "yang harus kita lakukan ketika cuaca berubah dan tidak ada makanan di rumah? Mereka sudah "
        "bekerja dengan masalah ini selama tiga tahun dan tidak ada yang tahu bagaimana akhirnya. Anak- "
        "anak bermain di kebun sementara ibu mereka membaca buku tentang sejarah kota. Bisakah Anda "
        "memberi tahu saya mana dari dua jawaban ini yang lebih baik dan bagaimana saya bisa "
        "mengetahuinya? Saya pikir pertama-tama kita membutuhkan rencana yang baik.",
    ),
    "vi": Language(
        "xin chào cảm ơn "
        "và của là có không được cho các một trong với này người những đã tôi bạn như thế nào tại sao hãy "
        "để khi đến làm gì từ về nhưng hoặc vì rất",
        "Hãy viết một lá thư ngắn cho khách hàng của chúng tôi và giải thích tại sao việc giao hàng bị "
        "chậm. Chúng ta nên làm gì khi thời tiết thay đổi và trong nhà không có gì để ăn? Họ đã làm việc "
        "về vấn đề này ba năm rồi và không ai biết nó sẽ kết thúc như thế nào. Bọn trẻ chơi trong vườn "
        "trong khi mẹ chúng đọc một cuốn sách về lịch sử của thành phố. Bạn có thể cho tôi biết câu trả "
        "lời nào tốt hơn và làm thế nào để tìm ra không?",
    ),
    "fi": Language(
        "hei kiitos "
        "ja on ei se että en hän oli mutta kun niin kuin ovat tai joka mitä miten miksi minä sinä tämä "
        "voi olla myös jos sen mikä ole kanssa vain nyt voisitko",
        "Kirjoita lyhyt kirje asiakkaillemme ja selitä, miksi toimitus on myöhässä. Mitä meidän pitäisi "
        "tehdä, kun sää muuttuu eikä talossa ole mitään syötävää? He ovat työskennelleet tämän ongelman "
        "parissa kolme vuotta, eikä kukaan tiedä, miten se päättyy. Lapset leikkivät puutarhassa, kun "
        "heidän äitinsä luki kirjaa kaupungin historiasta. Voitko kertoa, kumpi näistä kahdesta "
        "vastauksesta on parempi ja miten voisin saada sen selville? Luulen, että ensin tarvitaan hyvä "
        "suunnitelma ja luettelo siitä, mitä haluat.",
    ),
}
