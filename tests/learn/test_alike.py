"""Pairs that sound alike and must never share an answer; and some that may."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.learn.alike import MAX_CHARS, reading, stem_of, veto

ADVERSARIAL = {
    "negation": """
        How do I enable two-factor authentication? | How do I not enable two-factor authentication?
        Which foods contain gluten? | Which foods do not contain gluten?
        Is it safe to take ibuprofen with alcohol? | Is it safe to take ibuprofen without alcohol?
        What happens if I pay my taxes? | What happens if I don't pay my taxes?
        List all users who have logged in. | List all users who have never logged in.
        Why does the build work? | Why doesn't the build work?
        Can I travel with a visa? | Can I travel with no visa?
        Warum startet der Dienst? | Warum startet der Dienst nicht?
        Show tests that pass | Show tests that fail to pass
        Is the earth round? | Isn't the earth round?
    """,
    "number": """
        What is 15% of 200? | What is 15% of 300?
        Convert 5 miles to km | Convert 50 miles to km
        How do I install Python 3.11? | How do I install Python 3.12?
        Who won the world cup in 2018? | Who won the world cup in 2022?
        Write three slogans | Write ten slogans
        What is the second largest city in Spain? | What is the third largest city in Spain?
        Price of 1.5 kg of rice | Price of 15 kg of rice
        Is -5 greater than 3? | Is 5 greater than 3?
        Explain article 12 | Explain article 13
        Remind me at 7:30 | Remind me at 8:30
        Split $1,000 between two people | Split $10,000 between two people
        What is half of 90? | What is a quarter of 90?
    """,
    "date": """
        What is the weather today? | What is the weather tomorrow?
        What did the fund return last year? | What will the fund return next year?
        Is the shop open on Monday? | Is the shop open on Sunday?
        Report for January | Report for June
        Who was the previous president? | Who is the current president?
        What should I eat in the morning? | What should I eat in the evening?
        Average rent per month | Average rent per year
    """,
    "name": """
        Who is the CEO of Apple? | Who is the CEO of Microsoft?
        How tall is Messi? | How tall is Ronaldo?
        how tall is messi | how tall is ronaldo
        Translate to German | Translate to Dutch
        What is the capital of Austria? | What is the capital of Australia?
        Summarise Hamlet | Summarise Macbeth
        Deploy to AWS | Deploy to GCP
        What is Java? | What is JavaScript?
        symptoms of flu | symptoms of covid
        Write an email to Anna | Write an email to Anne
        Is aspirin good for headaches? | Is ibuprofen good for headaches?
        What does Rust cost? | What does Go cost?
        Flights to Paris, France | Flights to Paris, Texas
    """,
    "opposite": """
        How do I enable 2FA? | How do I disable 2FA?
        How can I gain weight? | How can I lose weight?
        How do I activate my account? | How do I deactivate my account?
        How to subscribe to the newsletter | How to unsubscribe from the newsletter
        How do I turn on dark mode? | How do I turn off dark mode?
        Should I buy the stock? | Should I sell the stock?
        What are the advantages of remote work? | What are the disadvantages of remote work?
        Is it legal to record calls? | Is it illegal to record calls?
        Increase the timeout | Decrease the timeout
        How do I encrypt a file? | How do I decrypt a file?
        Sort in ascending order | Sort in descending order
        How do I add a user? | How do I remove a user?
        What is the maximum speed? | What is the minimum speed?
        How to grant access | How to revoke access
        Upload a file | Download a file
        Which is the cheapest plan? | Which is the most expensive plan?
        Is it possible to undo a commit? | Is it impossible to undo a commit?
        How do I lock my screen? | How do I unlock my screen?
        Why is my phone so hot? | Why is my phone so cold?
        Is the treatment harmful? | Is the treatment harmless?
        How to import contacts | How to export contacts
        Can I open the window? | Can I close the window?
        Best places to visit in summer | Best places to visit in winter
    """,
    "order": """
        Flights from Paris to London | Flights from London to Paris
        Convert USD to EUR | Convert EUR to USD
        Can dogs give fleas to cats? | Can cats give fleas to dogs?
        Is Python faster than Ruby? | Is Ruby faster than Python?
        Why did Rome attack Carthage in war? | Why did Carthage attack Rome in war?
        Translate from English to Spanish | Translate from Spanish to English
        Subtract 3 from x over y | Subtract 3 from y over x
    """,
    "code": """
        What does `git reset --hard` do? | What does `git reset --soft` do?
        Explain foo(bar) | Explain foo(baz)
        What is x == y? | What is x != y?
        Open https://example.org/a | Open https://example.org/b
        What is in /etc/passwd? | What is in /etc/shadow?
        Explain list.append | Explain list.extend
        What does a && b mean? | What does a || b mean?
        Use camelCase here | Use snake_case here
        Mail to ops@example.org | Mail to dev@example.org
        Is C++ fast? | Is C fast?
    """,
    "asked": """
        Who invented the telephone? | When was the telephone invented?
        Where was Einstein born? | When was Einstein born?
        How much does it weigh? | How does it weigh?
        How many moons has Mars? | Why has Mars moons?
        Can wine cause headaches? | How can wine cause headaches?
        What is your name? | What is my name?
        Is Donald a good president? | Will Donald be a good president?
        How old is the universe? | How far is the universe?
        What is magnesium? | What is magnesium used for?
        Tell me about his wife | Tell me about my wife
    """,
    "qualified": """
        Best laptops | Best gaming laptops
        How do I learn to swim? | How do I learn to swim backstroke?
        Visa for students | Visa for retired students
        Symptoms of diabetes | Symptoms of diabetes in cats
        Tax rules in Germany | Tax rules in Germany for freelancers
        What is the dose of paracetamol? | What is the dose of paracetamol for children?
    """,
    "language": """
        Что такое вода? | What is water?
        水是什么 | 火是什么
        Was ist Wasser? | What is water?
        Qu'est-ce que l'eau ? | Qu'est-ce que l'air ?
    """,
}
CASES = [
    (kind, *(side.strip() for side in line.split(" | ")))
    for kind, lines in ADVERSARIAL.items()
    for line in lines.strip().splitlines()
]
SAME = """
    How do I reset my password? | How can I reset my password?
    How do I reset my password? | how do i reset my password
    What is the capital of France? | What's the capital of France?
    What is the best way to learn Spanish? | What are the best ways to learn Spanish?
    How can I buy a car? | How can I purchase an automobile?
    Please explain photosynthesis | Explain photosynthesis, please!
    How do I fix a flat tire? | How can I repair a flat tire?
    Who is the CEO of Apple? | who is the ceo of apple
    Tell me the symptoms of flu | What are flu symptoms?
    What are 5 tips for sleeping? | What are five tips for sleep?
"""


@pytest.mark.parametrize(("kind", "one", "other"), CASES, ids=[f"{k}: {b}" for k, _, b in CASES])
def test_another_question_is_never_served(kind, one, other):
    assert veto(one, other) is not None
    assert veto(other, one) is not None


@pytest.mark.parametrize("line", SAME.strip().splitlines())
def test_the_same_question_in_other_words_may_be_served(line):
    one, other = (side.strip() for side in line.split(" | "))
    assert veto(one, other) is None
    assert veto(other, one) is None


def test_the_reason_is_told():
    reasons = {
        ("Is it open?", "Is it not open?"): "negation",
        ("Add 2 eggs", "Add 3 eggs"): "number",
        ("Open today", "Open tomorrow"): "date",
        ("Is Anna here?", "Is Berta here?"): "entity",
        ("Enable it", "Disable it"): "opposite",
        ("Run `ls -l`", "Run `ls -a`"): "code",
        ("Что это", "What is this"): "language",
        ("Feed the cat", "Feed the dog"): "word",
        ("x" * (MAX_CHARS + 1), "x" * (MAX_CHARS + 1)): "long",
    }
    assert {pair: veto(*pair) for pair in reasons} == reasons


def test_forms_of_a_word_have_one_stem():
    for forms in ("install installs installed installing", "stop stops stopped stopping", "city cities"):
        assert len({stem_of(form) for form in forms.split()}) == 1
    assert stem_of("class") == "class"


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.text(max_size=1500), st.text(max_size=200))
def test_any_text_is_read_and_objections_are_mutual(one, other):
    reading(one)
    assert veto(one, one) in (None, "long")
    assert (veto(one, other) is None) == (veto(other, one) is None)
